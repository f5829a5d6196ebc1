from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.graph import Layout, frame_graphs
from stgraph.layers import (
    BoxPosition,
    ConcatSend,
    GaussianMaps,
    KernelEmbedding,
    KernelPosition,
)
from stgraph.nodes import GridNodes


def test_gaussian_maps_are_the_official_windows():
    graph, _ = GridNodes(4, (3, 2, 1))(torch.randn(1, 1, 4, 6, 6))
    maps = GaussianMaps(6)(graph).view(14, 6, 6)
    two, three = torch.tensor([0.9692, 0.9692]), torch.tensor([0.8825, 1.0, 0.8825])
    six = torch.tensor([0.4578, 0.7548, 0.9692, 0.9692, 0.7548, 0.4578])
    first = 0
    for side, window in ((3, two), (2, three), (1, six)):
        n = len(window)
        for row in range(side):
            for column in range(side):
                expected = torch.zeros(6, 6)
                rows, columns = slice(row * n, row * n + n), slice(column * n, column * n + n)
                expected[rows, columns] = window[:, None] * window
                mine = maps[first + row * side + column]
                torch.testing.assert_close(mine, expected, atol=1e-4, rtol=0)
        first += side * side


@pytest.mark.parametrize("sigma", [0.5, 4.0])
def test_the_width_of_gaussian_maps_is_in_cells(sigma):
    graph, _ = GridNodes(4, (1,))(torch.randn(1, 1, 4, 6, 6))
    off = torch.arange(5.0) - 2
    window = torch.exp(-off.square() / (2 * sigma**2))
    expected = (window[:, None] * window).flatten()
    torch.testing.assert_close(GaussianMaps(5, sigma)(graph)[0], expected)


def test_at_four_cells_a_side_the_last_rows_stay_empty():
    graph, _ = GridNodes(4, (4,))(torch.randn(1, 1, 4, 8, 8))
    maps = GaussianMaps(6)(graph).view(16, 6, 6)
    assert maps.sum((1, 2)).gt(0).all()
    assert maps[:, 4:].eq(0).all()
    assert maps[:, :, 4:].eq(0).all()


def test_the_window_of_any_other_box_lies_in_it():
    box = torch.tensor([[0.55, 0.1, 0.85, 0.95], [0.5, 0.5, 0.5, 0.5]]).view(1, 1, 2, 4)
    graph = frame_graphs({"x": torch.zeros(1, 1, 2, 1), "box": box}, Layout(1, 1, 2, 1, 1))
    maps = GaussianMaps(6)(graph).view(2, 6, 6)
    rows, columns = maps[0].sum(1).nonzero()[:, 0], maps[0].sum(0).nonzero()[:, 0]
    assert (rows.tolist(), columns.tolist()) == ([1, 2, 3, 4, 5], [3])
    assert maps[1].nonzero().tolist() == [[3, 3]]


def test_a_small_box_at_the_rim_has_the_last_cell():
    box = torch.tensor([[0.97, 0.3, 0.99, 0.32], [0.3, 0.97, 0.32, 0.99]]).view(1, 1, 2, 4)
    graph = frame_graphs({"x": torch.zeros(1, 1, 2, 1), "box": box}, Layout(1, 1, 2, 1, 1))
    maps = GaussianMaps(6)(graph).view(2, 6, 6)
    assert [each.nonzero().tolist() for each in maps] == [[[2, 5]], [[5, 2]]]


def test_kernel_position_is_linear_in_the_normalised_kernel():
    kernel = torch.rand(2, 1, 3, 4, 5)
    fields = {"x": torch.randn(2, 1, 3, 8), "kernel": kernel}
    graph = frame_graphs(fields, Layout(2, 1, 3, 4, 5))
    position = KernelPosition(8, 4, 5)
    expected = graph.x + position.linear(kernel.flatten(0, 2).flatten(1))
    torch.testing.assert_close(position(graph.x, graph), expected)


def test_maps_of_another_size_are_pooled_to_the_weights():
    kernel = torch.rand(1, 1, 3, 8, 10)
    fields = {"x": torch.randn(1, 1, 3, 8), "kernel": kernel}
    graph = frame_graphs(fields, Layout(1, 1, 3, 8, 10))
    position = KernelPosition(8, 4, 5)
    pooled = kernel[0, 0].unflatten(1, (4, 2)).unflatten(3, (5, 2)).mean((2, 4))
    torch.testing.assert_close(position.embed(graph), position.linear(pooled.flatten(1)))


def test_a_kernel_embedding_is_what_kernel_position_adds():
    fields = {"x": torch.randn(2, 1, 3, 8), "kernel": torch.rand(2, 1, 3, 4, 5)}
    graph = frame_graphs(fields, Layout(2, 1, 3, 4, 5))
    embedding, position = KernelEmbedding(8, 4, 5), KernelPosition(8, 4, 5)
    position.load_state_dict(embedding.state_dict())
    torch.testing.assert_close(graph.x + embedding(graph), position(graph.x, graph))
    assert embedding(graph).shape == (6, embedding.out_channels)


def test_boxes_are_positions():
    box = torch.rand(2, 3, 4, 4)
    graph = frame_graphs({"x": torch.randn(2, 3, 4, 8), "box": box}, Layout(2, 3, 4, 2, 2))
    x1, y1, x2, y2 = box.flatten(0, 2).unbind(1)
    assert torch.equal(BoxPosition()(graph), torch.stack([x1, y1, x2, y2], 1))
    expected = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)
    assert torch.equal(BoxPosition("centre")(graph), expected)


def test_bad_input_is_refused():
    graph = frame_graphs({"x": torch.randn(1, 1, 4, 8)}, Layout(1, 1, 4, 2, 2))
    with pytest.raises(InputError, match="form: expected one of 'corners', 'centre', got 'polar'"):
        BoxPosition("polar")
    with pytest.raises(InputError, match="graph: expected a `box` for every node, got none"):
        BoxPosition()(graph)
    with pytest.raises(InputError, match="graph: expected a `kernel` for every node, got none"):
        KernelEmbedding(8, 2, 2)(graph)
    with pytest.raises(InputError, match="gain: expected a number above 0"):
        KernelPosition(8, 2, 2, gain=0)


def test_messages_leave_a_position_part_as_it_was_made():
    position = KernelEmbedding(8, 4, 5, gain=16.0)
    before = position.linear.weight.clone()
    ConcatSend(8, position=position)
    assert torch.equal(position.linear.weight, before)


@pytest.mark.parametrize(
    ("low", "high", "cells"),
    [
        (0.6, 0.9, [4]),  # begins at a multiple of its width, which does not divide the frame
        (0.3, 0.8, [2, 3, 4]),  # of half a frame, and neither half
        (0.3, 0.4, [2]),  # a cell of a grid finer than the map
        (0.5, 1.0, [3, 4, 5]),
    ],
)
@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_only_cells_of_grids_that_the_map_can_hold_begin_by_their_number(low, high, cells, axis):
    box = torch.tensor([low, 0.0, high, 1.0] if axis else [0.0, low, 1.0, high])
    graph = frame_graphs(
        {"x": torch.zeros(1, 1, 1, 1), "box": box[None, None, None]}, Layout(*[1] * 5)
    )
    window = GaussianMaps(6)(graph).view(6, 6)
    assert window.sum(1 - axis).nonzero()[:, 0].tolist() == cells
