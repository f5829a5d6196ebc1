"""Where the regions of a clip go: their centres over time, beside what they should follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Batch

from stgraph.checks import shape
from stgraph.viz.clips import frame_list, video_frames
from stgraph.viz.colours import identity_hex
from stgraph.viz.figures import INK, QUIET, frame_axes, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["trajectories"]


def trajectories(video: Tensor, graph: Batch, *, box: Tensor | None = None) -> Figure:
    """Draw the centres of all regions over the clip: in the frame, and x and y against time.

    The picture behind is dimmed: of grey frames the brightest value of every pixel over time, in
    which all that moves over a dark ground is seen; of coloured ones, whose ground is bright
    itself, the frame in the middle. A line breaks where its node is absent; a dot stands at the
    last place. Centres of true boxes are dashed.

    Args:
        video: frames ``[T, 1|3, H, W]`` uint8.
        graph: the T frame graphs of the clip.
        box: true boxes ``[T, M, 4]``.

    Returns:
        A figure with three axes.

    Raises:
        InputError: when the sizes do not fit together.
    """
    pictures = video_frames(video)  # [T, H, W, 3]
    frames, height, width, _ = pictures.shape
    tracks = _tracks(graph, frames)
    truth: list[Tensor] = []
    if box is not None:
        shape("box", box, frames, "M 4")
        centres = (box[..., :2] + box[..., 2:]).detach().cpu().float() / 2  # [T, M, 2]
        truth = list(centres.unbind(1))

    from matplotlib.ticker import MaxNLocator

    room = 2.75 * min(max(width / height, 0.5), 1.8)  # inches for the frame
    figure, axes = new_figure(room + 7, 3.4, 3, width_ratios=[room, 3.5, 3.5])
    behind = pictures.amax(0) if video.size(1) == 1 else pictures[frames // 2]
    frame_axes(axes[0], behind.numpy(), dim=0.55)
    axes[0].set_title("in the frame", loc="left", fontsize=10, color=INK, fontweight="bold")
    size = torch.tensor([width, height])
    for track in truth:
        axes[0].plot(*(track * size).T.tolist(), color="white", linewidth=1, linestyle=(0, (3, 3)))
    for node_id, track in tracks.items():
        x, y = (track * size).T.tolist()
        colour = identity_hex(node_id)
        axes[0].plot(x, y, color=colour, linewidth=1.6, marker=".", markersize=3)
        last = track[:, 0].isfinite().nonzero()[-1].item()
        axes[0].plot(x[int(last)], y[int(last)], color=colour, marker="o", markersize=6)

    for axis, place in enumerate(axes[1:]):
        plain(place, f"{'xy'[axis]} against time", "frame", ("left → right", "top → bottom")[axis])
        for track in truth:
            place.plot(track[:, axis].tolist(), color=INK, linewidth=1.3, linestyle=(0, (4, 3)))
        for node_id, track in tracks.items():
            colour = identity_hex(node_id)
            place.plot(
                track[:, axis].tolist(), color=colour, linewidth=1.6, marker=".", markersize=4
            )
        place.set_ylim((1, 0) if axis else (0, 1))
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
        place.axhline(0.5, color=QUIET, alpha=0.3, linewidth=0.7)
    return figure


def _tracks(graph: Batch, frames: int) -> dict[int, Tensor]:
    """Centres ``[T, 2]`` of every identity, nan where it is absent."""
    tracks: dict[int, Tensor] = {}
    for time, nodes in enumerate(frame_list(graph, frames)):
        for node_id, place in zip(nodes.node_id.tolist(), nodes.pos, strict=True):
            track = tracks.setdefault(node_id, torch.full((frames, 2), torch.nan))
            track[time] = place
    return dict(sorted(tracks.items()))
