"""All public vectors of the official code, through the converter alone."""

from __future__ import annotations

import pytest
import torch

from stgraph.weights import rstg_from_official, rstg_graph_from_official, rstg_to_official

EACH = 4e-6
"""Gradients of single variables: the vectors are in single precision, by which alone some are off
by 3e-6, whereas whole gradients are within 1e-6."""


def test_a_graph(graph_vectors, outputs, assert_equal, assert_gradients):
    config, arrays = graph_vectors.config, graph_vectors.arrays
    net, block, report = rstg_graph_from_official(
        graph_vectors.weights,
        rounds=config["num_process_iter"],
        edges=config["adj"],
        to_map=config["to_map"],
        frame=config["dim_h"],
    )
    assert set(report.used) == set(graph_vectors.weights)
    assert report.skipped == ()
    assert (block is not None) == config["residual"]
    whole = net if block is None else block
    whole.train(config["training"])
    x = arrays["input"].permute(0, 1, 4, 2, 3).contiguous().requires_grad_()
    out = outputs.run(whole, x)
    assert_equal(out, graph_vectors.out, 1e-6)
    (out[config["main"]] * arrays["probe"]).sum().backward()
    grads = outputs.gradients(whole) | {"input": outputs.channels_last(x.grad)}
    assert_gradients(grads, graph_vectors.grad, EACH, whole=1e-6)
    after = {k.removeprefix("after:"): v for k, v in arrays.items() if k.startswith("after:")}
    assert bool(after) == config["training"]
    written = {k: torch.tensor(v) for k, v in rstg_to_official(whole).items()}
    assert_equal(written, after, 1e-6)


def test_an_adjacency_as_it_was_fed(vectors, outputs, assert_equal):
    found = vectors("smt_nonsquare_map")
    adjacency = found.arrays["adjacency"]
    _, block, _ = rstg_graph_from_official(found.weights, edges=adjacency)
    x = found.arrays["input"].permute(0, 1, 4, 2, 3)
    out = outputs.channels_last(block(x).features - x)
    assert_equal({"map_added": out}, {"map_added": found.out["map_added"]}, 1e-6)


def test_sync_mnists_model(vectors, outputs, assert_equal, assert_gradients):
    found = vectors("mnist_e2e")
    model, report = rstg_from_official(found.weights)
    assert set(report.used) == set(found.weights)
    assert model.recipe.name == "rstg_sync_mnist_official"
    x = found.arrays["input"].permute(0, 1, 4, 2, 3).contiguous().requires_grad_()
    answer = model(x)
    out = {"logits": answer.logits, "nodes": answer.x.view(found.out["nodes"].shape)}
    assert_equal(out, {name: found.out[name] for name in out}, 1e-6)
    (answer.logits * found.arrays["probe"]).sum().backward()
    grads = outputs.gradients(model) | {"input": outputs.channels_last(x.grad)}
    assert_gradients(grads, found.grad, EACH, whole=1e-6)


@pytest.mark.slow
def test_the_whole_c2d(c2d_vectors, assert_equal):
    _, arrays, weights = c2d_vectors
    model, report = rstg_from_official(weights)
    assert set(report.used) == set(weights)
    assert all(name.endswith("num_batches_tracked") for name in report.missing)
    assert model.recipe.name == "rstg_to_vec_official"
    with torch.no_grad():
        logits, nodes, _, _, _ = model(arrays["input"].permute(0, 1, 4, 2, 3))
    theirs = {"logits": arrays["out:logits"], "nodes": arrays["out:nodes_final"]}
    assert_equal({"logits": logits, "nodes": nodes.view(theirs["nodes"].shape)}, theirs, 1e-5)
    back = rstg_to_official(model)
    assert set(back) == set(weights)
    assert all(torch.equal(torch.tensor(back[name]), value) for name, value in weights.items())
