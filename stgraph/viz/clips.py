"""What a picture of a clip is drawn from: the frames, their graphs, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stgraph.checks import InputError, integer, shape
from stgraph.graph import layout_of

__all__ = ["ClipView", "clip_edges", "frame_list"]

_FIELDS = {"pos": "V 2", "box": "V 4", "kernel": "V H W", "node_id": "V"}


@dataclass(frozen=True)
class ClipView:
    """One clip with its graphs, its attention and its answer.

    Args:
        video: frames ``[T, 1|3, H, W]`` uint8.
        graph: the T frame graphs of this clip.
        alpha: attention weight of every edge ``[E]``, in the order of ``graph.edge_index``.
        label: name of the true class.
        prediction: name of the answered class; empty when nothing was answered.
        confidence: probability that the model gave its answer.
        box: true boxes ``[T, M, 4]`` (x1, y1, x2, y2 in 0..1).
        marked: which of the true boxes matter for the answer ``[M]`` (bool).
        title: what the clip is called, for example the name of its file.

    Raises:
        InputError: when the sizes do not fit together.
    """

    video: Tensor
    graph: Batch
    alpha: Tensor | None = None
    label: str = ""
    prediction: str = ""
    confidence: float | None = None
    box: Tensor | None = None
    marked: Tensor | None = None
    title: str = ""

    def __post_init__(self) -> None:
        frames = _frames_of("video", self.video)
        frame_list(self.graph, frames)
        if self.alpha is not None:
            shape("alpha", self.alpha, str(_edge_index(self.graph).size(1)))
        if self.box is not None:
            shape("box", self.box, frames, "M 4")

    @property
    def correct(self) -> bool:
        """Whether the answer is the true class."""
        return self.prediction == self.label

    @classmethod
    def cut(
        cls,
        clip: int,
        video: Tensor,
        graph: Batch,
        *,
        alpha: Tensor | None = None,
        box: Tensor | None = None,
        marked: Tensor | None = None,
        label: str = "",
        prediction: str = "",
        confidence: float | None = None,
    ) -> ClipView:
        """Cut clip number ``clip`` out of a batch: all arguments as in the class, with a leading B.

        Of clips of different lengths the view has the frames that exist.

        Args:
            clip: 0..B−1.
            video: ``[B, T, 1|3, H, W]`` uint8.
            graph: the frame graphs of all frames that exist, B·T without padding.
            alpha: ``[E]`` over all edges of the batch.
            box: ``[B, T, M, 4]``.
            marked: ``[B, M]``.
            label: name of the true class of this clip.
            prediction: name of the answered class.
            confidence: probability of the answer.
        """
        clips, frames = shape("video", video, "B T C H W")[:2]
        if integer("clip", clip, 0) >= clips:
            raise InputError("clip", f"a number below {clips}", clip)
        exists = _existing(graph, clips, frames)
        _fields("graph", graph, sum(map(sum, exists)))
        first = sum(map(sum, exists[:clip]))
        numbers = range(first, first + sum(exists[clip]))
        kept = torch.tensor(exists[clip])
        if alpha is not None:
            shape("alpha", alpha, str(_edge_index(graph).size(1)))
            owner = graph.batch[graph.edge_index[1]]
            mine = (owner >= numbers.start) & (owner < numbers.stop)
            alpha = alpha[mine.to(alpha.device)]
        return cls(
            video=video[clip][kept.to(video.device)],
            graph=Batch.from_data_list([graph[number] for number in numbers]),
            alpha=alpha,
            label=label,
            prediction=prediction,
            confidence=confidence,
            box=None if box is None else box[clip][kept.to(box.device)],
            marked=None if marked is None else marked[clip],
        )


def _existing(graph: Batch, clips: int, frames: int) -> Sequence[Sequence[bool]]:
    """Which frames of each clip there are ``[B, T]``, by the graph where clips differ."""
    exists = layout_of(graph).exists if isinstance(graph, Batch) and "layout" in graph else None
    if exists is not None and (len(exists), len(exists[0])) != (clips, frames):
        expected = f"[{len(exists)}, {len(exists[0])}, ...] as the clips of the graph, with padding"
        raise InputError("video", expected, [clips, frames])
    return [[True] * frames] * clips if exists is None else exists


def frame_list(graph: Batch, frames: int) -> list[Data]:
    """Cut the graphs of one clip into frames, detached and on the CPU.

    Args:
        graph: the T frame graphs of one clip.
        frames: T, as the video says.

    Raises:
        InputError: when the number of graphs differs, a field is missing, misshapen or not finite.
    """
    _fields("graph", graph, frames)
    return [graph[number].detach().cpu() for number in range(frames)]


def clip_edges(graph: Batch, alpha: Tensor, frame: int) -> Tensor:
    """Attention ``[E]`` of the whole clip → that of the edges of one frame."""
    shape("alpha", alpha, str(_edge_index(graph).size(1)))
    mine = graph.batch[graph.edge_index[1]] == frame
    return alpha[mine.to(alpha.device)]


def video_frames(video: Tensor) -> Tensor:
    """Frames ``[T, 1|3, H, W]`` → ``[T, H, W, 3]``, on the CPU, both uint8.

    Raises:
        InputError: on another shape or type.
    """
    _frames_of("video", video)
    return video.detach().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()


def _frames_of(name: str, video: Tensor) -> int:
    frames, channels, *_ = shape(name, video, "T C H W")
    if channels not in (1, 3) or 0 in video.shape:
        raise InputError(name, "[T, 1 or 3, H, W], none of them 0", list(video.shape))
    if video.dtype != torch.uint8:
        raise InputError(name, "pixels of uint8, 0..255", video.dtype)
    return frames


def _fields(name: str, graph: Batch, graphs: int) -> None:
    if not isinstance(graph, Batch) or graph.num_graphs != graphs:
        got = f"{graph.num_graphs} graphs" if isinstance(graph, Batch) else type(graph).__name__
        raise InputError(name, f"a Batch of {graphs} frame graphs", got)
    check_nodes(name, graph)


def check_nodes(name: str, graph: Data) -> None:
    """Check the fields that pictures are drawn from.

    Raises:
        InputError: when one is missing, misshapen or not finite.
    """
    nodes = graph.num_nodes
    for field, pattern in _FIELDS.items():
        if field not in graph:
            raise InputError(name, f"a field `{field}`", sorted(graph.keys()))
        shape(f"{name}.{field}", graph[field], pattern.replace("V", str(nodes)))
        if not graph[field].isfinite().all():
            raise InputError(f"{name}.{field}", "finite numbers", "nan or infinity")


def _edge_index(graph: Data) -> Tensor:
    edge_index = graph.get("edge_index")
    if not isinstance(edge_index, Tensor):
        raise InputError("graph", "a field `edge_index`", sorted(graph.keys()))
    return edge_index
