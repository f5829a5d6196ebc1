"""Whose part a name of an official file is."""

from __future__ import annotations

import pytest

from stgraph.weights.dyreg.names import sort_names


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("blocks", [(0,), (1,), (0, 1)])
def test_graphs_after_whole_blocks_keep_their_places(newer: bool, blocks: tuple[int, ...]) -> None:
    """In newer files what is called 1 is a graph, in older ones it may be a block."""
    layer, graph = (".0.block", ".1") if newer else (".block", "")
    inside = {k: f"layer2.{k}{graph}.dynamic_graph.offset_alpha" for k in blocks}
    weights = {k: f"layer2.{k}{layer}.conv2.weight" for k in blocks}
    parts = sort_names([name for k in blocks for name in (weights[k], inside[k])])
    assert parts.graphs == {
        f"layer2.{k}": {"dynamic_graph.offset_alpha": inside[k]} for k in blocks
    }
    assert parts.cnn == {f"layer2.{k}.conv2.weight": weights[k] for k in blocks}
