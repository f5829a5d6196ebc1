"""Whole models of random weights: C2D and I3D with graphs anywhere, SyncMNIST's, and back."""

from __future__ import annotations

import pytest
import torch

from stgraph import insert, recipes
from stgraph.backbones import NonLocalBlock, ResNet3d, Stage, TemporalShift, c2d_resnet50_official
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier
from stgraph.edges import FullEdges, TemplateEdges
from stgraph.layers import MLPUpdate, ScaleUpdate
from stgraph.recipes import rstg_block_official, rstg_sync_mnist, rstg_sync_mnist_official
from stgraph.schedules import all_temp_official
from stgraph.weights import from_pretrained, rstg_from_official, rstg_to_official, save_pretrained
from stgraph.weights.rstg.recognise import note_recipe

CHANNELS = {"res2": 8, "res3": 16, "res4": 32, "res5": 64, "final": 64}
PLACES = {
    "res2": "layer1.1",
    "res3": "layer2.2",
    "res4": "layer3.4",
    "res5": "layer4.1",
    "final": "layer4",
}
ADJACENCY = torch.ones(14, 14).double()


@pytest.fixture
def model_weights(random_weights):
    """A narrow C2D or I3D with graphs at places of the official code."""

    def make(*places, frames=3, serial=False, non_local=(), **graph):
        w = random_weights.random_cnn(frames=frames)
        for place in places:
            inside = random_weights.random_graph(CHANNELS[place], **graph)
            scope = "" if place == "final" else "backbone/"
            w |= random_weights.scoped(f"{scope}whole_graph_model_{place}", inside)
            tag = f"{place}_after_graph_ln" if frames > 1 else "after_graph_ln"
            if not serial:
                w |= random_weights.residual(scope + tag, CHANNELS[place])
        for name in non_local:
            stage = name.rpartition("conv")[2].partition("_")[0]
            w |= random_weights.random_non_local(name, CHANNELS[f"res{stage}"])
        return w

    return make


def clip(side=48, frames=4):
    return torch.randn(1, frames, side, side, 3).double()


def answer(model, video):
    return model(video.permute(0, 1, 4, 2, 3))


@pytest.mark.parametrize(
    ("places", "frames"),
    [
        ((), 1),
        pytest.param(("final",), 1, marks=pytest.mark.slow),
        pytest.param(("res4",), 1, marks=pytest.mark.slow),
        (("res5", "final"), 1),
        pytest.param(("res3",), 3, marks=pytest.mark.slow),
        (("res3", "res4"), 3),
        pytest.param(("res2", "res5", "final"), 3, marks=pytest.mark.slow),
    ],
)
def test_c2d_and_i3d(places, frames, plain, model_weights, assert_equal):
    w = model_weights(*places, frames=frames)
    model, report = rstg_from_official(w, edges="full", window=None)
    assert set(report.used) == set(w)
    assert all(name.endswith("num_batches_tracked") for name in report.missing)
    assert model.net.places == tuple(PLACES[place] for place in places)
    video = clip()
    logits, nodes = plain.whole(w, video, dict.fromkeys(places, plain.Graph(ADJACENCY)))
    found = answer(model, video)
    mine = {"logits": found.logits}
    theirs = {"logits": logits}
    if places:
        last = nodes[places[-1]].nodes
        mine["nodes"], theirs["nodes"] = found.x.view(last.shape), last
    assert_equal(mine, theirs, 1e-9)
    model.train()  # statistics of its norms are fixed, and no dropout falls on the nodes
    if places:
        assert_equal({"nodes": answer(model, video).x.view(last.shape)}, {"nodes": last}, 1e-9)
    back = rstg_to_official(model)
    assert back.keys() == w.keys()
    assert all((back[name] == value.numpy()).all() for name, value in w.items())


def test_several_graphs_in_a_c2d_keep_a_norm_each(random_weights):
    """Whose names say where they are, as otherwise those of a C2D do not."""
    w = random_weights.random_cnn(frames=1)
    for place in ("res3", "res4"):
        inside = random_weights.random_graph(CHANNELS[place])
        w |= random_weights.scoped(f"backbone/whole_graph_model_{place}", inside)
        w |= random_weights.residual(f"backbone/{place}_after_graph_ln", CHANNELS[place])
    model, _ = rstg_from_official(w)
    back = rstg_to_official(model)
    assert back.keys() == w.keys()
    assert all((back[name] == value.numpy()).all() for name, value in w.items())


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_clips_of_odd_length(frames, plain, model_weights, assert_equal):
    w = model_weights("res2", "res4", frames=3)
    model, _ = rstg_from_official(w, edges="full", window=None)
    video = clip(33, frames)
    graphs = dict.fromkeys(("res2", "res4"), plain.Graph(ADJACENCY))
    logits, _ = plain.whole(w, video, graphs)
    assert_equal({"logits": answer(model, video).logits}, {"logits": logits}, 1e-9)


def test_gradients_of_a_whole_model(plain, model_weights, outputs, assert_gradients):
    w = model_weights("res3", "final")
    leaves = {k: v.clone().requires_grad_("moving" not in k) for k, v in w.items()}
    video = clip()
    graphs = dict.fromkeys(("res3", "final"), plain.Graph(ADJACENCY))
    logits, _ = plain.whole(leaves, video, graphs)
    logits.square().sum().backward()
    model, _ = rstg_from_official(w, edges="full", window=None, dropout=0.0)
    answer(model, video).logits.square().sum().backward()
    theirs = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    assert_gradients(outputs.gradients(model), theirs, 1e-9)


def test_non_local_blocks_at_their_places(plain, model_weights, assert_equal):
    names = {(3, 1): "backbone/nonlocal_conv3_1", (4, 3): "backbone/nonlocal_conv4_3"}
    w = model_weights("res4", non_local=names.values())
    model, report = rstg_from_official(w, edges="full", window=None)
    assert report.skipped == ()
    assert model.net.places == ("layer2.1", "layer3.3", "layer3.4")
    video = clip(56)
    graph = {"res4": plain.Graph(ADJACENCY)}
    logits, _ = plain.whole(w, video, graph, non_local_after=names)
    assert_equal({"logits": answer(model, video).logits}, {"logits": logits}, 1e-9)
    assert rstg_to_official(model).keys() == w.keys()


def test_a_vector_that_takes_the_place_of_the_maps(plain, model_weights, assert_equal):
    w = model_weights("final", serial=True, simple=True, norms=False)
    model, _ = rstg_from_official(w, edges="full", window=None)
    video = clip()
    logits, _ = plain.whole(w, video, {"final": plain.Graph(ADJACENCY)}, serial=True)
    assert_equal({"logits": answer(model, video).logits}, {"logits": logits}, 1e-9)
    assert rstg_to_official(model).keys() == w.keys()


@pytest.mark.parametrize("frames", [1, 3])
def test_a_normed_vector_that_is_classified_alone(frames, plain, model_weights, assert_equal):
    w = model_weights("final", frames=frames)
    model, report = rstg_from_official(w, edges="full", window=None, comb_type="serial")
    assert set(report.used) == set(w)
    video, options = clip(), plain.Graph(ADJACENCY)
    logits, _ = plain.whole(w, video, {"final": options}, serial=True)
    assert_equal({"logits": answer(model, video).logits}, {"logits": logits}, 1e-9)
    assert rstg_to_official(model).keys() == w.keys()


def test_what_leaves_no_trace_and_does_not_fit(model_weights):
    w = model_weights("res3", serial=True)
    with pytest.raises(InputError, match=r"a norm of what the graph '.*_res3' adds, got none"):
        rstg_from_official(w)
    w = model_weights("final", serial=True)
    with pytest.raises(InputError, match=r"a norm of what the graph '.*_final' adds, got none"):
        rstg_from_official(w, comb_type="plus")
    with pytest.raises(InputError, match="comb_type: expected one of 'plus', 'serial'"):
        rstg_from_official(w, comb_type="concat")
    other = {f"final_after_graph_bn/{leaf}": torch.ones(64) for leaf in ("gamma", "beta")}
    with pytest.raises(InputError, match="layer norms behind graphs"):
        rstg_from_official(w | other)


def test_frames_have_224_pixels_a_side_if_nobody_tells_and_those_of_sync_mnist_64(model_weights):
    for told, side in (({}, 224), ({"frame": 256}, 256)):
        model, _ = rstg_from_official(model_weights("res3", "final", frames=1), **told)
        blocks = model.net.graph_blocks.values()
        assert [block.net.nodes.edges.frame for block in blocks] == 2 * [(side, side)]
    sync_mnist = rstg_to_official(rstg_sync_mnist_official(num_classes=5, channels=4))
    for told, side in (({}, 64), ({"frame": 96}, 96)):
        model, _ = rstg_from_official(sync_mnist, **told)
        assert model.net.nodes.edges.frame == (side, side)


@pytest.mark.slow
def test_windows_of_larger_frames(plain, model_weights, assert_equal):
    w = model_weights("final", frames=1)
    model, _ = rstg_from_official(w, frame=256)
    video = clip(256, 2)
    graph = {"final": plain.Graph(torch.tensor(adjacency_of(model)).double())}
    logits, _ = plain.whole(w, video, graph)
    found = answer(model, video).logits
    assert_equal({"logits": found}, {"logits": logits}, 1e-9)
    whole, _ = rstg_from_official(w, frame=256, window=None)
    assert not torch.allclose(answer(whole, video).logits, found)


def adjacency_of(model):
    edges = model.net.graph_blocks["layer4"].net.nodes.edges
    return edges._adjacency.numpy()


def test_places_by_scopes_that_do_not_say(model_weights):
    w = {
        name.replace("whole_graph_model_res3", "graph_a")
        .replace("res3_after", "graph_a_after")
        .replace("whole_graph_model_res5", "graph_b")
        .replace("res5_after", "graph_b_after"): value
        for name, value in model_weights("res3", "res5").items()
    }
    with pytest.raises(InputError, match=r"places: expected where the graph 'backbone/graph_a' is"):
        rstg_from_official(w)
    model, report = rstg_from_official(w, places={"graph_a": "res3", "graph_b": "layer4.0"})
    assert report.skipped == ()
    assert model.net.places == ("layer2.2", "layer4.0")


def test_sync_mnists_model_in_other_sizes(plain, random_weights, assert_equal):
    w = {
        f"conv{k}/conv2d/{leaf}": value
        for k, c in enumerate((2, 4))
        for leaf, value in {
            "kernel": random_weights.kernel(3, 3, c, 4),
            "bias": random_weights.vector(4),
        }.items()
    }
    inside = random_weights.random_graph(4, simple=True, norms=False, batch=True, scalewise=False)
    w |= random_weights.scoped("whole_graph_model_final", inside)
    w |= random_weights.linear("pred", 1, 1, 1, 4, 7)
    model, report = rstg_from_official(w, rounds=2, edges="full_noloops")
    assert set(report.used) == set(w)
    video = torch.rand(2, 3, 20, 24, 2).double() * 255
    options = plain.Graph(1 - torch.eye(14).double(), rounds=2)
    logits, _, _ = plain.sync_mnist(w, video, options)
    assert_equal({"logits": answer(model, video).logits}, {"logits": logits}, 1e-9)
    # The recipe's CNN has three convolutions.
    assert not hasattr(model, "recipe")


def test_rounds_of_whole_models_may_be_none():
    w = rstg_to_official(rstg_sync_mnist_official(num_classes=5, channels=4))
    model, report = rstg_from_official(w, rounds=0)
    assert "space" not in model.net.layers
    assert "whole_graph_model_final/my_attn/att_conv1/kernel" in report.skipped
    with pytest.raises(InputError, match="rounds: expected a whole number of at least 0, got -1"):
        rstg_from_official(w, rounds=-1)


def test_one_graph_alone_is_in_sync_mnists_model(random_weights):
    w = rstg_to_official(rstg_sync_mnist_official(num_classes=5, channels=4))
    scope = "whole_graph_model_final"
    none = {name: value for name, value in w.items() if scope not in name}
    second = {name.replace(scope, "other"): value for name, value in w.items()}
    for wrong, came in ((none, r"\[\]"), (w | second, rf"\['{scope}', 'other'\]")):
        with pytest.raises(InputError, match=f"one graph after SyncMNIST's CNN, got {came}"):
            rstg_from_official(wrong)
    with pytest.raises(InputError, match="a graph alone after SyncMNIST's CNN, got a residual's"):
        rstg_from_official(w | random_weights.residual("after_graph_ln", 4))


def test_a_cnn_may_have_fewer_stages_but_no_gap(random_weights):
    w = random_weights.random_cnn(depths=(1, 2), frames=1)
    model, report = rstg_from_official(w)
    assert set(report.used) == set(w)
    assert [len(model.net.get_submodule(name)) for name in model.net.bare().stages] == [1, 2]
    gap = {
        name: v for name, v in random_weights.random_cnn((1, 1, 1)).items() if "res3" not in name
    }
    for wrong in (gap, dict.fromkeys("abcd", torch.ones(1))):
        some = ", ".join([*wrong][:3])
        with pytest.raises(InputError, match=f"SyncMNIST's model, C2D or I3D, got {some}, …"):
            rstg_from_official(wrong)


@pytest.mark.parametrize("width", [4, 256])
def test_channels_say_where_a_graph_is_if_nothing_else_does(width, random_weights):
    """Those of its linear map in; or, where there is none, of its norm."""
    w = random_weights.random_cnn(depths=(2,), frames=1, channels=64)
    inside = random_weights.random_graph(256, width, scales=(1,))
    w |= random_weights.scoped("graph_a", inside) | random_weights.residual("a_after_graph_ln", 256)
    model, _ = rstg_from_official(w)
    assert model.net.places == ("layer1.1",)


def cnn_with(place: str, block: torch.nn.Module) -> CNNClassifier:
    cnn = ResNet3d([Stage(2, (1,)), Stage(2, (1,))], 5)
    return CNNClassifier(insert(cnn, {place: block}, input_size=(3, 4, 32, 32)), 5)


@pytest.mark.parametrize(
    ("place", "make", "message"),
    [
        ("layer1", lambda: NonLocalBlock(8), "blocks behind blocks of stages, got layer1"),
        ("layer1.0.conv2", lambda: NonLocalBlock(2), "blocks behind .*, got layer1.0.conv2"),
        ("maxpool", lambda: NonLocalBlock(64), "blocks behind blocks of stages, got maxpool"),
        (
            "layer1.0",
            lambda: rstg_block_official(8, 4),
            r"graphs at \['layer1.1', .*, got layer1.0",
        ),
        ("layer1.0", lambda: TemporalShift(), "a graph or non-local block at layer1.0, got"),
    ],
)
def test_blocks_that_the_official_code_has_nowhere(place, make, message):
    with pytest.raises(InputError, match=f"model: expected {message}"):
        rstg_to_official(cnn_with(place, make()))


WHOLE = {
    "c2d_official": {"dropout": 0.1},
    "i3d_official": {},
    "non_local_official": {"dropout": 0.1},
    "rstg_to_map_official": {"places": ("layer1.1",), "width": 8, "scales": (2, 1)},
    "rstg_to_vec_official": {"width": 8, "schedule": all_temp_official(2, before=("norm",))},
    "rstg_to_vec_serial_official": {"width": 8, "cnn": c2d_resnet50_official},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_recipe_is_recognised_with_all_that_it_was_called_with(name):
    with torch.device("meta"):
        model = getattr(recipes, name)(5, **WHOLE[name])
    noted = model.recipe
    del model.recipe
    note_recipe(model)
    assert model.recipe == noted


@pytest.mark.parametrize("update", [MLPUpdate, ScaleUpdate])
def test_a_converted_model_is_saved_by_its_recipe(update, tmp_path):
    options = {"edges": FullEdges(loops=False), "positions": None, "update": update}
    made = rstg_sync_mnist_official(num_classes=5, channels=4, **options)
    model, _ = rstg_from_official(rstg_to_official(made), edges="full_noloops")
    assert model.recipe == made.recipe
    assert model.recipe.name == "rstg_sync_mnist_official"
    assert model.recipe.arguments["update"] is update
    again = from_pretrained(save_pretrained(model, tmp_path))
    video = torch.rand(1, 2, 1, 64, 64)
    assert torch.equal(again(video).logits, made.eval()(video).logits)


def test_edges_that_a_recipe_has_by_itself_are_not_noted():
    made = rstg_sync_mnist_official(num_classes=5, channels=4)
    assert rstg_from_official(rstg_to_official(made)).model.recipe == made.recipe


def test_an_adjacency_of_ones_own_needs_a_function_to_load(tmp_path):
    made = rstg_sync_mnist_official(num_classes=5, channels=4)
    model, _ = rstg_from_official(rstg_to_official(made), edges=torch.eye(14))
    assert isinstance(model.net.nodes.edges, TemplateEdges)
    save_pretrained(model, tmp_path)
    with pytest.raises(InputError, match=r"build: expected a function"):
        from_pretrained(tmp_path)


def test_models_as_printed_have_no_official_names_where_their_parts_differ():
    model = rstg_sync_mnist(channels=4)  # its attention alone differs, and that has no weights
    assert "whole_graph_model_final/my_attn/att_conv1/kernel" in rstg_to_official(model)
    with pytest.raises(InputError, match="model: expected a model, block or graph of RSTG"):
        rstg_to_official(torch.nn.Linear(1, 1))


@pytest.mark.slow
def test_options_of_graphs_reach_the_graphs_of_a_model(model_weights, assert_equal):
    w, video = model_weights("res4"), clip()
    usual, _ = rstg_from_official(w, edges="full", window=None)
    for scales in (3, (3, 2, 1)):
        same, _ = rstg_from_official(w, edges="full", window=None, scales=scales)
        assert_equal(
            {"logits": answer(same, video).logits}, {"logits": answer(usual, video).logits}, 0
        )
    with pytest.raises(InputError, match="scales: expected"):
        rstg_from_official(w, edges="full", window=None, scales=2)
    w = {name.replace("cudnn_compatible_lstm_cell", "lstm_cell"): w[name] for name in w}
    biases = [
        rstg_from_official(w, window=None, forget_bias=bias).model.state_dict()
        for bias in (2.5, 0.5)
    ]
    moved = {name for name, value in biases[0].items() if not torch.equal(value, biases[1][name])}
    assert moved
    assert all("bias_ih" in name for name in moved)
    usual, told = (
        rstg_from_official(w, window=None, **options).model.state_dict()
        for options in ({}, {"forget_bias": 1.0})
    )
    assert all(torch.equal(value, told[name]) for name, value in usual.items())
    for name in moved:
        off = (biases[0][name] - biases[1][name]).view(4, -1)  # i, f, g, o
        torch.testing.assert_close(
            off, torch.tensor([0, 2.0, 0, 0]).to(off)[:, None].expand_as(off)
        )
