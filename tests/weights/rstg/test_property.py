"""Random structures with random weights: the library through the converter, the plain forward."""

from __future__ import annotations

import random

import pytest
import torch

from stgraph.edges import GridEdges
from stgraph.nodes import GridNodes
from stgraph.weights import rstg_graph_from_official

EDGES = ("grid", "full", "full_noloops")


def drawn(seed):
    """A structure, what leaves no trace in its weights, and sizes of the maps."""
    draw = random.Random(seed)
    simple = draw.random() < 0.5
    structure = {
        "channels": draw.choice([4, 6]),
        "width": 4,
        "scales": tuple(range(draw.choice([1, 2, 3, 4]), 0, -1)),
        "simple": simple,
        "norms": draw.random() < 0.6,
        "batch": draw.random() < 0.4,
        "scalewise": draw.random() < 0.5,
        "positions": draw.choice([0, 0, 4, 6]),
        "inner": draw.random() < 0.8,
        "send_layers": draw.choice([1, 2]),
        "update_layers": draw.choice([1, 2]),
    }
    options = {
        "rounds": draw.choice([0, 1, 2, 3, 4, 5]),
        "edges": draw.choice(EDGES),
        "frame": draw.choice([64, 224, 256]),
    }
    sizes = (draw.choice([1, 2]), draw.choice([1, 3]), draw.choice([5, 6, 8]), draw.choice([4, 7]))
    return structure, options, sizes, draw.choice(["none", "map", "vec"]), draw.random() < 0.5


def adjacency_of(edges, scales, frame):
    nodes = sum(side * side for side in scales)
    if edges == "full":
        return torch.ones(nodes, nodes)
    if edges == "full_noloops":
        return 1 - torch.eye(nodes)
    graph, _ = GridNodes(1, scales, GridEdges(scales, (frame, frame)))(torch.zeros(1, 1, 1, 2, 2))
    made = torch.zeros(nodes, nodes)
    made[graph.edge_index[1], graph.edge_index[0]] = 1
    return made


def positions_of(scales, side):
    """Gaussian windows of ⌊side/s⌋ cells with σ = 2, cell after cell."""
    rows = []
    for s in scales:
        n = side // s
        window = torch.exp(-((torch.arange(n).double() - (n - 1) / 2) ** 2) / 8)
        for cell in range(s * s):
            place = torch.zeros(side, side, dtype=torch.float64)
            row, column = cell // s * n, cell % s * n
            place[row : row + n, column : column + n] = window[:, None] * window
            rows.append(place.flatten())
    return torch.stack(rows)


def used_without_rounds(name):
    return not any(part in name for part in ("send_", "update_node", "_attn", "x/cudnn_lstm"))


@pytest.mark.parametrize("seed", range(60))
def test_any_graph(seed, plain, random_weights, outputs, assert_equal, assert_gradients):
    structure, options, (clips, frames, height, width), form, training = drawn(seed)
    training = training and clips * frames > 1
    scope, scales = "whole_graph_model_x", structure["scales"]
    w = random_weights.scoped(scope, random_weights.random_graph(**structure))
    if options["rounds"] == 0:
        w = {name: value for name, value in w.items() if used_without_rounds(name)}
    if structure["positions"]:
        w["positional_emb"] = positions_of(scales, structure["positions"])
    if form != "none":
        w |= random_weights.residual("x_after_graph_ln", structure["channels"])
    maps = torch.randn(clips, frames, height, width, structure["channels"]).double()

    fixed = ("positional_emb", "moving_mean", "moving_variance")
    leaves = {k: v.clone().requires_grad_(not k.endswith(fixed)) for k, v in w.items()}
    told = plain.Graph(
        adjacency_of(options["edges"], scales, options["frame"]),
        options["rounds"],
        scales,
        not structure["inner"],
        training,
    )
    x = maps.clone().requires_grad_()
    nodes = plain.graph(leaves, scope, x, told)
    theirs = nodes._asdict()
    main = "nodes"
    if form != "none":
        main = f"{form}_added"
        theirs[main] = plain.added(leaves, "x_after_graph_ln", getattr(nodes, form))
    probe = torch.randn_like(theirs[main])
    (theirs[main] * probe).sum().backward()

    net, block, report = rstg_graph_from_official(w, scales=scales, to_map=form == "map", **options)
    unused = {"positional_emb"} if options["rounds"] == 0 else set()
    assert set(report.used) == set(w) - unused
    whole = net if block is None else block
    whole.train(training)
    y = maps.permute(0, 1, 4, 2, 3).contiguous().requires_grad_()
    mine = outputs.run(whole, y)
    assert_equal(mine, theirs, 1e-9)
    (mine[main] * probe).sum().backward()
    grads = outputs.gradients(whole)
    grads["input"] = outputs.channels_last(y.grad)
    leaves["input"] = x
    expected = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    assert_gradients(grads, expected, 1e-9)
