"""Names, layouts and reports of what comes from a TensorFlow checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.layers import (
    AddUpdate,
    ConcatSend,
    DotAttention,
    FrameNorm,
    MeanGather,
    ScaleUpdate,
    SumSend,
)
from stgraph.recipes import rstg_block, rstg_block_official, rstg_sync_mnist_official
from stgraph.weights import rstg_from_official, rstg_graph_from_official, rstg_to_official

X = "whole_graph_model_x"
CELL = "rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"


@pytest.fixture
def weights(random_weights):
    """A graph with all parts of the Something-Something models, and its residual's norm."""
    w = random_weights.scoped(X, random_weights.random_graph())
    return w | random_weights.residual("x_after_graph_ln", 6)


def outcome(weights, **options):
    net, block, _ = rstg_graph_from_official(weights, **options)
    maps = torch.randn(1, 2, 6, 6, 6, dtype=torch.float64, generator=torch.manual_seed(1))
    return (net if block is None else block)(maps.to(next(net.parameters()).dtype)).x


def test_a_file_of_arrays(weights, tmp_path):
    file = tmp_path / "rstg.npz"
    np.savez(file, **{name: value.numpy() for name, value in weights.items()})
    assert torch.equal(outcome(file), outcome(weights))
    assert torch.equal(outcome(str(file)), outcome(weights))


def test_types_are_kept(weights):
    single = {name: value.float() for name, value in weights.items()}
    assert outcome(single).dtype == torch.float32
    assert outcome(weights).dtype == torch.float64
    unused = single | {"learning_rate": torch.ones(3).double()}  # which no part has a use for
    assert outcome(unused).dtype == torch.float32


def test_what_a_checkpoint_has_besides(weights):
    """Outputs' numbers, an optimiser's slots, averages, counters: skipped, whatever their size."""
    more = {"global_step": np.int64(7), "beta1_power": np.float32(0.9), "config": "{}"}
    for name, value in weights.items():
        for slot in ("Momentum", "Adam", "Adam_1", "ExponentialMovingAverage"):
            more[f"{name}/{slot}"] = value + 1
            more[f"optimiser/{name}/{slot}"] = value + 2
    every = {f"{name}:0": value for name, value in (weights | more).items()}
    report = rstg_graph_from_official(every).report
    assert set(report.used) == {f"{name}:0" for name in weights}
    assert set(report.skipped) == {f"{name}:0" for name in more}
    assert torch.equal(outcome(every), outcome(weights))


@pytest.mark.parametrize("scope", ["tower_0/", "model/", "tower_0/net/"])
def test_scopes_in_front(weights, scope):
    moved = {scope + name: value for name, value in weights.items()}
    report = rstg_graph_from_official(moved).report
    assert report.skipped == ()
    assert torch.equal(outcome(moved), outcome(weights))


def test_of_several_towers_the_first(weights):
    towers = {f"tower_{k}/{name}": value + k for k in (0, 1) for name, value in weights.items()}
    report = rstg_graph_from_official(towers).report
    assert all(name.startswith("tower_0/") for name in report.used)
    assert all(name.startswith("tower_1/") for name in report.skipped)
    assert torch.equal(outcome(towers), outcome(weights))


@pytest.mark.parametrize("scope", ["graph", "whole_graph_model_res3", "my/own/scope", ""])
def test_other_scopes(weights, scope):
    head = f"{scope}/" if scope else ""
    moved = {name.replace(f"{X}/", head): value for name, value in weights.items()}
    assert rstg_graph_from_official(moved).report.skipped == ()
    assert torch.equal(outcome(moved), outcome(weights))


def laid_out(weights, how):
    """The same graph with its LSTMs in another layout."""
    kept = {name: value for name, value in weights.items() if CELL not in name}
    for scope in (f"{X}/cudnn_lstm", f"{X}/time_update_extern/cudnn_lstm"):
        kernel, bias = weights[f"{scope}/{CELL}/kernel"], weights[f"{scope}/{CELL}/bias"]
        width = kernel.shape[1] // 4
        i, c, f, o = (torch.cat([kernel, bias[None]]).split(width, 1))[:4]
        rest = torch.linspace(-1, 1, 4 * width).double()  # the second bias
        ordered = torch.cat([i, f, c, o], 1)  # cuDNN's order
        of_x, of_h, bias = ordered[:width], ordered[width:-1], ordered[-1]
        if how == "two kernels":
            kept |= {f"{scope}/kernel": of_x, f"{scope}/recurrent_kernel": of_h}
            kept[f"{scope}/bias"] = bias
        elif how == "two biases":
            kept |= {f"{scope}/kernel": of_x, f"{scope}/recurrent_kernel": of_h}
            kept[f"{scope}/bias"] = torch.cat([bias - rest, rest])
        elif how == "opaque":
            parts = (of_x.T, of_h.T, bias - rest, rest)
            kept[f"{scope}/opaque_kernel"] = torch.cat([part.flatten() for part in parts])
        else:  # a cell that adds 1 to its forget gate by itself
            name = f"{scope}/rnn/{how}"
            columns = torch.cat([i, c, f, o], 1)
            columns[-1, 2 * width : 3 * width] -= 1
            kept |= {f"{name}/kernel": columns[:-1], f"{name}/bias": columns[-1]}
    return kept


@pytest.mark.parametrize(
    "how", ["two kernels", "two biases", "opaque", "basic_lstm_cell", "lstm_cell"]
)
def test_layouts_of_an_lstm(weights, how):
    found = laid_out(weights, how)
    report = rstg_graph_from_official(found).report
    assert set(report.used) == set(found)
    assert torch.allclose(outcome(found), outcome(weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["two kernels", "two biases", "opaque", "lstm_cell"])
def test_the_weights_that_are_read_stay_as_they_were(weights, how):
    """Those of a cell that adds to its forget gate too, whatever its layout."""
    cell = {"two kernels": "lstm_cell/", "two biases": "basic_lstm_cell/"}.get(how, "")
    found = {
        name.replace("cudnn_lstm/", f"cudnn_lstm/{cell}"): value
        for name, value in laid_out(weights, how).items()
    }
    before = {name: value.clone() for name, value in found.items()}
    first, second = outcome(found), outcome(found)
    assert torch.equal(first, second)
    assert all(torch.equal(found[name], value) for name, value in before.items())


def test_other_names_of_the_lstms(weights):
    moved = {
        name.replace("/cudnn_lstm/rnn/", "/lstm/rnn/"): value for name, value in weights.items()
    }
    assert moved.keys() != weights.keys()
    assert torch.equal(outcome(moved), outcome(weights))


def test_a_forget_bias_of_ones_own(weights):
    found = laid_out(weights, "lstm_cell")
    assert not torch.allclose(outcome(found, forget_bias=0.0), outcome(weights))


def test_both_biases_go_out_and_come_back(weights):
    net, block, _ = rstg_graph_from_official(laid_out(weights, "opaque"))
    written = rstg_to_official(block, lstm="cudnn")
    assert f"{X}/cudnn_lstm/opaque_kernel" in written
    again = rstg_graph_from_official(written).block
    mine, theirs = block.state_dict(), again.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert net.layers["time"].cell.bias_hh_l0.abs().sum() > 0


def test_both_biases_go_into_tensorflows_one(weights):
    written = rstg_to_official(rstg_graph_from_official(laid_out(weights, "opaque")).block)
    assert written.keys() == weights.keys()
    bias = f"{X}/cudnn_lstm/{CELL}/bias"
    assert np.allclose(written[bias], weights[bias].numpy(), rtol=0, atol=1e-12)
    assert torch.allclose(outcome(written), outcome(weights), rtol=0, atol=1e-12)


def test_one_way_and_back(weights):
    block = rstg_graph_from_official(weights).block
    back = rstg_to_official(block)
    assert back.keys() == weights.keys()
    assert all(np.array_equal(back[name], value.numpy()) for name, value in weights.items())
    made = rstg_block_official(6, width=4)
    torch.nn.init.ones_(made.norm.weight)
    again = rstg_graph_from_official(rstg_to_official(made, tag="res3")).block
    maps = torch.randn(1, 2, 6, 6, 6)
    assert torch.equal(again(maps).features, made.eval()(maps).features)


def test_constants_of_resizing_are_known_by_their_values(weights, plain):
    rows = plain.area_weights(3, 6)
    resize = torch.einsum("hH,wW->hwHW", rows, rows)
    other = {"b": resize + 0.1, "c": resize[0], "d": resize[None]}
    more = {f"{X}/resize_filters_{name}": value for name, value in {"a": resize, **other}.items()}
    report = rstg_graph_from_official(weights | more).report
    assert report.skipped == tuple(f"{X}/resize_filters_{name}" for name in other)


def test_scales_by_the_updates(weights):
    less = {name: value for name, value in weights.items() if "_type3" not in name}
    net = rstg_graph_from_official(less).net
    assert net.nodes.scales == (2, 1)
    assert isinstance(net.layers["space"].update_nodes, ScaleUpdate)
    for told in (1, 3):
        with pytest.raises(InputError, match=r"scales: expected 2, since as many have an update"):
            rstg_graph_from_official(less, scales=told)


def test_errors_name_the_variable(weights):
    def without(name):
        return {k: v for k, v in weights.items() if k != name}

    key = f"{X}/dot_product_attn/att_conv2/kernel"
    with pytest.raises(InputError, match=r"the variable `dot_product_attn/att_conv2/kernel`"):
        rstg_graph_from_official(without(key))
    with pytest.raises(InputError, match=r"att_conv2/kernel: expected what makes \[4, 4\]"):
        rstg_graph_from_official(weights | {key: weights[key][..., :3]})
    with pytest.raises(InputError, match=r"variables of known parts only, got \['whole_.*new/ker"):
        rstg_graph_from_official(weights | {f"{X}/send_messages_mlp/new/kernel": weights[key]})
    key = f"{X}/project_i3d/kernel"
    with pytest.raises(InputError, match=r"project_i3d/kernel: expected \[C, D\]"):
        rstg_graph_from_official(weights | {key: weights[key].flatten()})
    key = f"{X}/dot_product_attn/att_conv2/kernel"
    with pytest.raises(InputError, match="linear maps both in and out"):
        rstg_graph_from_official(without(f"{X}/project_back_to_i3d/kernel"))
    with pytest.raises(InputError, match="an LSTM"):
        rstg_graph_from_official(weights | {f"{X}/cudnn_lstm/{CELL}/bias": torch.zeros(3)})
    second = weights[f"{X}/cudnn_lstm/{CELL}/kernel"]
    with pytest.raises(InputError, match="one LSTM for all rounds"):
        rstg_graph_from_official(weights | {f"{X}/cudnn_lstm_1/{CELL}/kernel": second})
    with pytest.raises(InputError, match=r"source: expected the variables of one graph"):
        rstg_graph_from_official({"a": torch.ones(1)})
    with pytest.raises(InputError, match="SyncMNIST's model, C2D or I3D"):
        rstg_from_official({"a": torch.ones(1)})
    with pytest.raises(InputError, match=r"edges: expected one of 'grid', 'full', 'full_noloops'"):
        rstg_graph_from_official(weights, edges="none")
    with pytest.raises(InputError, match=r"edges: expected zeros and ones \[14, 14\]"):
        rstg_graph_from_official(weights, edges=torch.eye(3))
    with pytest.raises(InputError, match="rounds"):
        rstg_graph_from_official(weights, rounds=-1)


SEND, KEY = "send_messages_mlp/send_conv1/kernel", "dot_product_attn/att_conv2/kernel"
ENDS = rf"{SEND}: expected two ends of 4 channels, with square maps or none, got"
WRONG = {
    "a kernel in a row": ("", {KEY: (16,)}, rf"{KEY}: expected a kernel of \[4, 4\], got \[16\]"),
    "a kernel of sides": ("", {KEY: (2, 4, 4)}, r"what makes \[4, 4\], got \[2, 4, 4\]"),
    "ends in a row": ("", {SEND: (32,)}, ENDS),
    "an odd number of ends": ("", {SEND: (1, 1, 9, 4)}, ENDS),
    "maps that are not square": ("", {SEND: (1, 1, 14, 4)}, ENDS),
    "fewer than two ends": ("", {SEND: (1, 1, 4, 4)}, ENDS),
    "two norms": (
        "",
        {f"dot_product_attn/{name}/gamma": (4,) for name in ("a_ln", "b_ln")},
        "one norm in `dot_product_attn`",
    ),
    "two layers": ("", {"cudnn_lstm/more/kernel": (8, 16)}, "one layer under `cudnn_lstm`"),
    "a bias": (
        "",
        {f"cudnn_lstm/{CELL}/bias": (3,)},
        rf"cudnn_lstm/{CELL}/bias: expected \[16\], of an LSTM, got \[3\]",
    ),
    "a short bias": (
        "two kernels",
        {"cudnn_lstm/bias": (3,)},
        r"cudnn_lstm/bias: expected \[16\], of an LSTM, got \[3\]",
    ),
    "a long bias": (
        "two kernels",
        {"cudnn_lstm/bias": (40,)},
        r"cudnn_lstm/bias: expected \[16\], of an LSTM, got \[40\]",
    ),
    "a kernel of the state": (
        "two kernels",
        {"cudnn_lstm/recurrent_kernel": (5, 16)},
        r"cudnn_lstm/recurrent_kernel: expected \[4, 16\], of an LSTM, got \[5, 16\]",
    ),
}


@pytest.mark.parametrize(("how", "sizes", "message"), WRONG.values(), ids=WRONG)
def test_sizes_that_are_those_of_no_graph_are_told(weights, how, sizes, message):
    found = laid_out(weights, how) if how else weights
    wrong = {f"{X}/{name}": torch.ones(size).double() for name, size in sizes.items()}
    with pytest.raises(InputError, match=message):
        rstg_graph_from_official(found | wrong)


@pytest.mark.parametrize("value", [-1, 0.5, 2])
def test_an_adjacency_is_of_zeros_and_ones(weights, value):
    adjacency = torch.eye(14)
    rstg_graph_from_official(weights, edges=adjacency)
    adjacency[3, 4] = value
    with pytest.raises(InputError, match=r"edges: expected zeros and ones \[14, 14\]"):
        rstg_graph_from_official(weights, edges=adjacency)


def test_one_graph_is_in_a_file(weights):
    twice = {name.replace(X, "other"): value for name, value in weights.items()}
    with pytest.raises(InputError, match=rf"variables of one graph, got \['{X}', 'other'\]"):
        rstg_graph_from_official(weights | twice)
    with pytest.raises(InputError, match=r"got none, but \['a', 'b', 'c', 'd'\]$"):
        rstg_graph_from_official(dict.fromkeys("abcde", torch.ones(1)))


def test_without_rounds_what_they_are_made_of_is_not_used(weights):
    net, _, report = rstg_graph_from_official(weights, rounds=0)
    assert "space" not in net.layers
    assert f"{X}/{KEY}" in report.skipped
    assert f"{X}/time_update_extern/cudnn_lstm/{CELL}/bias" in report.used


def test_positions_must_be_those_that_are_computed(random_weights):
    inside = random_weights.random_graph(4, simple=True, norms=False, positions=6)
    w = random_weights.scoped(X, inside)
    w["positional_emb"] = torch.rand(14, 36)
    with pytest.raises(InputError, match=r"positional_emb: expected positions \[14, 36\]"):
        rstg_graph_from_official(w)
    bare = {name.replace("mlp_/", "mlp/").replace("_type1", ""): v for name, v in w.items()}
    bare = {name: value for name, value in bare.items() if "_type" not in name}
    for cells, scales in ((15, None), (14, 2), (5, 3)):
        bare["positional_emb"] = torch.rand(cells, 36)
        with pytest.raises(InputError, match=f"scales: expected {cells} cells, as positions have"):
            rstg_graph_from_official(bare, scales=scales)
    del w["positional_emb"]
    assert rstg_graph_from_official(w).block is None


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.npz, which does not exist"):
        rstg_from_official(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(InputError, match=r"an \.npz file of arrays"):
        rstg_from_official(tmp_path / "text.npz")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"an \.npz file of arrays"):
        rstg_from_official(tmp_path / "objects.npz")


def test_parts_that_the_official_code_does_not_have():
    with pytest.raises(InputError, match="layers of the official code, got norm: NodeNorm"):
        rstg_to_official(rstg_block(6, width=4))


HEADS = {
    "numbered scopes": "dot_product_attn_{0}/{1}",
    "inner scopes": "dot_product_attn/head_{0}/{1}",
    "outer scopes": "head_{0}/dot_product_attn/{1}",
    "official": "attention_head{0}/dot_product_attn/{1}",
}


def name_of(names, head, name):
    if names == HEADS["official"] and "messages_proj" in name:
        return f"attention_head{head}/{name}"
    return names.format(head, name)


@pytest.mark.parametrize("heads", [2, 12])
@pytest.mark.parametrize("names", HEADS.values(), ids=HEADS)
def test_heads_with_a_projection_of_the_messages_each(names, heads, plain, random_weights):
    width = 2 * heads
    weights = random_weights.scoped(X, random_weights.random_graph(6, width))
    weights |= random_weights.residual("x_after_graph_ln", 6)
    kept = {k: v for k, v in weights.items() if "dot_product_attn" not in k}
    parts = []
    for head in range(heads):
        one = random_weights.linear("att_conv1", 1, width, width // heads)
        one |= random_weights.linear("att_conv2", 1, width, width // heads)
        one |= random_weights.linear("messages_proj", 1, 1, width, width // heads)
        one["att_bias/biases"] = random_weights.vector(width // heads)
        kept |= {f"{X}/{name_of(names, head, name)}": value for name, value in one.items()}
        parts.append(one)
    net, block, report = rstg_graph_from_official(kept, rounds=1, edges="full")
    assert set(report.used) == set(kept)
    # One round of messages by hand, from what the layer is given.
    x = torch.randn(1, 14, width, dtype=torch.float64)
    sent = plain.messages(weights, X, x, None)
    gathered = []
    for one in parts:
        query, key = plain.linear(one, "att_conv1", x), plain.linear(one, "att_conv2", x)
        alpha = (query @ key.transpose(1, 2)).softmax(-1)
        value = plain.linear(one, "messages_proj", sent)
        gathered.append(torch.einsum("fij,fijc->fic", alpha, value) + one["att_bias/biases"])
    heard = torch.cat(gathered, -1).relu()
    graph = net(torch.zeros(1, 1, 6, 6, 6, dtype=torch.float64)).graph
    mine = net.layers["space"](x[0], graph)
    assert torch.allclose(mine, plain.updated(weights, X, x, heard, (3, 2, 1))[0], atol=1e-12)
    back = rstg_to_official(block)
    own = {f"{X}/{name_of(HEADS['official'], 0, name)}" for name in parts[0]}
    assert own <= back.keys()
    again = rstg_graph_from_official(back, rounds=1, edges="full").block
    assert all(map(torch.equal, again.state_dict().values(), block.state_dict().values()))
    if names == HEADS["official"]:
        assert back.keys() == kept.keys()
        assert all(np.array_equal(back[name], value.numpy()) for name, value in kept.items())


def test_heads_that_the_official_code_does_not_have():
    made = rstg_sync_mnist_official(channels=4, heads=2)
    with pytest.raises(InputError, match="several heads of dot products and projections alone"):
        rstg_to_official(made)


@pytest.fixture
def two_heads():
    """Variables of a graph with two heads, by names inside its scope."""
    made = rstg_block_official(6, width=4, heads=2)
    torch.nn.init.normal_(made.net.layers["space"].gather.bias)
    return rstg_to_official(made)


def gathering(weights):
    return rstg_graph_from_official(weights).net.layers["space"].gather


def test_heads_may_have_one_bias_and_projections_none(two_heads):
    gather, scope = gathering(two_heads), f"{X}/attention_head"
    assert gather.value.bias.abs().sum() == 0  # as they start
    less = {name: value for name, value in two_heads.items() if "messages_proj/bias" not in name}
    assert len(less) == len(two_heads) - 2
    assert torch.equal(gathering(less).value.bias, torch.zeros(4))
    names = [f"{scope}{head}/dot_product_attn/att_bias/biases" for head in range(2)]
    joined = np.concatenate([less.pop(name) for name in names])
    less[f"{X}/dot_product_attn/att_bias/biases"] = joined
    assert torch.equal(gathering(less).bias, gather.bias)
    assert gather.bias.abs().sum() > 0


def test_heads_are_alike(two_heads):
    name = f"{X}/attention_head1/dot_product_attn/att_conv2/bias"
    less = {key: value for key, value in two_heads.items() if key != name}
    with pytest.raises(InputError, match="one `att_conv2/bias` for each of 2 heads"):
        rstg_graph_from_official(less)
    name = name.replace("bias", "kernel")
    with pytest.raises(InputError, match="expected heads of one shape, got"):
        rstg_graph_from_official(two_heads | {name: two_heads[name][:, :2]})


def other_parts() -> dict[str, tuple[str, object]]:
    bare = DotAttention(8)
    bare.bias = None
    return {
        "messages of both ends side by side": ("send", SumSend(8)),
        "messages of both ends side": ("send", ConcatSend(8, position_of="sender")),
        "an attention with a bias": ("gather", MeanGather(8)),
        "an attention with a bi": ("gather", bare),
        "an MLP of the node": ("update_nodes", AddUpdate(8)),
        "several heads without a norm": (
            "gather",
            DotAttention(8, 2, norm=FrameNorm, value=torch.nn.Linear),
        ),
    }


@pytest.mark.parametrize(("message", "part"), other_parts().items(), ids=other_parts())
def test_graphs_with_other_parts_have_no_official_names(message, part):
    block = rstg_block_official(6, width=8)
    setattr(block.net.layers["space"], *part)
    with pytest.raises(InputError, match=f"model: expected .*{message}"):
        rstg_to_official(block)


def test_weights_of_a_type_that_arrays_have_not_are_told():
    with pytest.raises(InputError, match=r"type that NumPy has, got torch\.bfloat16 in whole"):
        rstg_to_official(rstg_block_official(6, width=4).bfloat16())
