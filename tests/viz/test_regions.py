from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.viz import identity_colour, region_frames
from stgraph.viz.pixels import box_pixels


def pixel(picture, y, x):
    return tuple(picture[y, x].tolist())


def test_outline_stands_at_the_box_in_the_colour_of_the_identity(clip):
    view = clip()
    frames = region_frames(view.video, view.graph, scale=4, kernels=0, legend=False)
    assert frames.shape == (4, 64, 64, 3)
    assert frames.dtype == torch.uint8
    for time in range(4):
        for node in range(3):
            left, top = 16 * node, 4 * time  # boxes are 16 wide and 32 high in these pictures
            colour = identity_colour(node)
            for y, x in [(top, left + 7), (top + 31, left), (top + 9, left + 15)]:
                assert pixel(frames[time], y, x) == colour
            assert pixel(frames[time], top + 5, left + 5) == (0, 0, 0)
            assert pixel(frames[time], top + 40 - 4, left + 5) == (0, 0, 0)


def test_kernel_tints_its_place_with_its_colour(clip):
    view = clip(nodes=1)
    frames = region_frames(view.video, view.graph, scale=1, kernels=0.5, legend=False)
    kernel = view.graph.kernel[0]
    assert kernel[4, 4] == 1
    peak = frames[0, 8:10, 8:10].float().mean((0, 1))  # the cell is 2×2 pixels
    expected = torch.tensor(identity_colour(0)) * 0.5 * 0.75**2  # bilinear, half a cell off
    torch.testing.assert_close(peak, expected, atol=1.0, rtol=0)
    assert pixel(frames[0], 12, 2) == (0, 0, 0)


def test_a_kernel_has_the_colour_of_its_identity_where_others_are_absent(clip):
    view = clip(nodes=3, absent=[(time, node) for time in range(4) for node in (0, 1)])
    frames = region_frames(view.video, view.graph, scale=1, kernels=0.5, legend=False)
    row, column = divmod(int(view.graph.kernel[0].argmax()), view.graph.kernel.size(-1))
    peak = frames[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].float().mean((0, 1))
    expected = torch.tensor(identity_colour(2)) * 0.5 * 0.75**2
    torch.testing.assert_close(peak, expected, atol=1.0, rtol=0)


def test_a_weak_kernel_tints_as_much_as_a_strong_one(clip):
    view, faint = clip(nodes=2), clip(nodes=2)
    faint.graph.kernel[faint.graph.node_id == 1] /= 128
    expected = region_frames(view.video, view.graph)
    assert torch.equal(region_frames(faint.video, faint.graph), expected)


def test_kernel_of_zeros_and_frames_without_nodes_are_drawn_plain(clip):
    view = clip(frames=2, nodes=2, absent=((1, 0), (1, 1)))
    view.graph.kernel = torch.zeros_like(view.graph.kernel)
    frames = region_frames(view.video, view.graph, scale=1, legend=False)
    assert frames[0].any()
    assert not frames[1].any()


def test_absent_node_is_not_drawn_and_its_chip_is_dim(clip):
    whole, part = clip(), clip(absent=((2, 1),))
    look = {"scale": 8, "kernels": 0.0}
    full = region_frames(whole.video, whole.graph, **look)
    less = region_frames(part.video, part.graph, **look)
    assert torch.equal(full[[0, 1, 3]], less[[0, 1, 3]])  # colours do not shift with rows
    colour = torch.tensor(identity_colour(1), dtype=torch.uint8)
    assert (full[2] == colour).all(-1).any()
    assert not (less[2] == colour).all(-1).any()
    dim = (less[2, 128:] == colour // 4).all(-1)
    assert dim.any()


@pytest.mark.parametrize("nodes", [1, 9, 30])
@pytest.mark.parametrize(("height", "width"), [(16, 40), (40, 16), (7, 5)])
def test_any_number_of_nodes_and_any_size(clip, nodes, height, width):
    view = clip(nodes=nodes, height=height, width=width, channels=3, map_size=(3, 5))
    frames = region_frames(view.video, view.graph, scale=3)
    assert frames.shape[0] == 4
    assert frames.shape[2] == 3 * width
    assert frames.shape[1] > 3 * height  # the legend stands below
    assert torch.equal(
        frames[:, : 3 * height], region_frames(view.video, view.graph, scale=3, legend=False)
    )


def test_pixels_of_the_video_stay(clip):
    view = clip(channels=3)
    video = torch.randint(0, 256, view.video.shape, dtype=torch.uint8)
    frames = region_frames(video, view.graph, scale=2, kernels=0, legend=False)
    assert pixel(frames[0], 30, 30) == tuple(video[0, :, 15, 15].tolist())


def test_true_boxes_are_dashed_and_marked_ones_whole(clip):
    view = clip(nodes=1)
    box = torch.tensor([0.5, 0.0, 1.0, 1.0]).expand(4, 1, 4)
    drawn = {
        mark: region_frames(
            view.video, view.graph, box=box, marked=mark, scale=4, kernels=0, legend=False
        )[0, :, 63, 0]
        for mark in (None, torch.tensor([True]))
    }
    # A column of the right side, beyond the node's own box.
    assert set(drawn[None].tolist()) == {0, 255}
    assert set(next(v for k, v in drawn.items() if k is not None).tolist()) == {255}


def test_progress_line_makes_every_frame_its_own(clip):
    view = clip()
    still = region_frames(view.video, view.graph, scale=4)
    line = still[:, -1, :, 0] > 150
    assert line.sum(1).tolist() == [16, 32, 48, 64]


def test_box_beyond_the_frame_is_drawn_at_its_edge():
    assert box_pixels(torch.tensor([-1.0, 0.25, 3.0, 0.75]), 8, 8) == (0, 2, 7, 5)
    assert box_pixels(torch.tensor([2.0, 2.0, 3.0, 3.0]), 8, 8) == (7, 7, 7, 7)
    assert box_pixels(torch.tensor([0.5, 0.5, 0.4, 0.4]), 8, 8) == (4, 4, 4, 4)


def test_colours_are_distinct():
    colours = torch.tensor([identity_colour(number) for number in range(40)]).float()
    assert (torch.cdist(colours, colours) + 1e3 * torch.eye(40)).min() > 12
    first = colours[:16]
    assert (torch.cdist(first, first) + 1e3 * torch.eye(16)).min() > 60


def test_gradients_do_not_hinder_drawing(clip):
    view = clip()
    view.graph.box.requires_grad_()
    assert region_frames(view.video, view.graph, scale=1).shape[0] == 4


def test_bad_input_is_named(clip):
    view = clip()
    with pytest.raises(InputError, match=r"video: expected \[T, C, H, W\], got \[1, 4"):
        region_frames(view.video[None], view.graph)
    with pytest.raises(InputError, match="video: expected pixels of uint8"):
        region_frames(view.video.float(), view.graph)
    with pytest.raises(InputError, match=r"video: expected \[T, 1 or 3"):
        region_frames(view.video.expand(-1, 2, -1, -1), view.graph)
    with pytest.raises(InputError, match="graph: expected a Batch of 3 frame graphs, got 4 graphs"):
        region_frames(view.video[:3], view.graph)
    with pytest.raises(InputError, match="box: expected"):
        region_frames(view.video, view.graph, box=torch.zeros(3, 2, 4))
    with pytest.raises(InputError, match="marked: expected"):
        region_frames(view.video, view.graph, box=torch.zeros(4, 2, 4), marked=torch.ones(3))
    with pytest.raises(InputError, match="scale: expected"):
        region_frames(view.video, view.graph, scale=0)
    with pytest.raises(InputError, match="kernels: expected"):
        region_frames(view.video, view.graph, kernels=2.0)
    bare = Batch.from_data_list(view.graph.to_data_list(), exclude_keys=["kernel"])
    with pytest.raises(InputError, match="graph: expected a field `kernel`"):
        region_frames(view.video, bare)
    view.graph.box[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"graph.box: expected finite numbers"):
        region_frames(view.video, view.graph)
