"""The plain forward pass is the official code: its outputs, its gradients, its training step."""

from __future__ import annotations

import pytest
import torch


def options_of(plain, config, arrays):
    scales = tuple(range(config["num_scales"], 0, -1))
    return plain.Graph(
        arrays["adjacency"],
        config["num_process_iter"],
        scales,
        config["one_temp"],
        config["training"],
    )


def run(plain, vectors):
    """Outputs by name, with gradients to the weights and the input."""
    config, options = vectors.config, options_of(plain, vectors.config, vectors.arrays)
    w = {name: value.clone().requires_grad_() for name, value in vectors.weights.items()}
    x = vectors.arrays["input"].clone().requires_grad_()
    out = {}
    if config["e2e"]:
        out["logits"], out["maps"], nodes = plain.sync_mnist(w, x, options)
    else:
        nodes = plain.graph(w, vectors.scope, x, options)
        if config["residual"]:
            kind = "map" if config["to_map"] else "vec"
            out[f"{kind}_added"] = plain.added(w, "x_after_graph_ln", getattr(nodes, kind))
    return out | nodes._asdict(), w | {"input": x}


def check(plain, vectors, assert_equal, assert_gradients):
    out, leaves = run(plain, vectors)
    assert vectors.out
    assert_equal(out, vectors.out, 1e-6)
    (out[vectors.config["main"]] * vectors.arrays["probe"]).sum().backward()
    grads = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    assert_gradients(grads, vectors.grad, 5e-6)  # in single, the official code errs by as much


def test_a_graph(plain, graph_vectors, assert_equal, assert_gradients):
    check(plain, graph_vectors, assert_equal, assert_gradients)


def test_sync_mnists_model(plain, vectors, assert_equal, assert_gradients):
    check(plain, vectors("mnist_e2e"), assert_equal, assert_gradients)


def test_statistics_of_a_step_of_training(plain, vectors, assert_equal):
    found = vectors("mnist_positional_train")
    out, leaves = run(plain, found)
    name = f"{found.scope}/batch_normalization"
    mean, variance = plain.statistics_after(leaves, name, out["patch_feats"])
    after = {k.removeprefix("after:"): v for k, v in found.arrays.items() if "after:" in k}
    assert len(after) == 2
    mine = {f"{name}/moving_mean": mean, f"{name}/moving_variance": variance}
    assert_equal(mine, after, 1e-6)


def test_the_non_local_block(plain, vectors, assert_equal):
    found = vectors("nonlocal_8")
    added = plain.non_local(found.weights, "nl", found.arrays["input"])
    assert_equal({"added": added}, found.out, 1e-6)


def test_filters_of_resizing(plain, vectors):
    for name, theirs in vectors("area_filters").arrays.items():
        height, width, rows, columns = map(int, name.split("_")[-4:])
        made = torch.einsum(
            "hH,wW->hwHW", plain.area_weights(rows, height), plain.area_weights(columns, width)
        )
        assert torch.allclose(made, theirs, atol=1e-6), name


@pytest.mark.slow
def test_the_whole_c2d(plain, c2d_vectors, assert_equal):
    _, arrays, weights = c2d_vectors
    weights = {name: value.double() for name, value in weights.items()}
    graph = {"final": plain.Graph(arrays["adjacency"].double())}
    with torch.no_grad():
        logits, nodes = plain.whole(weights, arrays["input"].double(), graph)
    mine = {"logits": logits, "nodes_final": nodes["final"].nodes}
    theirs = {name: arrays[f"out:{name}"].double() for name in mine}
    assert_equal(mine, theirs, 1e-6)
