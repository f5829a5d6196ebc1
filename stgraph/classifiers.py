"""Classifiers of clips: what they answer, and the two ways to one, by nodes and by maps."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.causality import AsItsParts, refuse_state
from stgraph.checks import filled_shape, integer, shape
from stgraph.insertion import Inserted
from stgraph.layers import Readout, RunningMean, mean_over_time
from stgraph.model import SpaceTimeGraph, State
from stgraph.padding import check_frame_mask, put_frames, take_frames

__all__ = ["Answer", "CNNClassifier", "GraphClassifier", "VideoClassifier"]


class Answer(NamedTuple):
    """What a video classifier returns."""

    logits: Tensor
    """``[B, K]``, over all frames so far."""
    x: Tensor | None
    """Node features ``[V, D]`` of the (last) graph; ``None`` for a model without graphs."""
    graph: Batch | None
    state: Any
    graphs: Mapping[str, Batch] = MappingProxyType({})
    """The graphs of all blocks in a CNN, by the names of their places."""


class VideoClassifier(nn.Module):
    """What a classifier of clips is: ``(video [B, T, c, H, W], state, frame_mask) → Answer``."""

    num_classes: int
    causal: bool = AsItsParts()  # type: ignore[assignment]
    """Whether a clip may come in pieces, each with the state of the one before."""

    def forward(
        self, video: Tensor, state: Any = None, frame_mask: Tensor | None = None, **hints: Any
    ) -> Answer:
        """Classify clips, or go on with those that ``state`` comes from.

        Args:
            video: clips ``[B, T, c, H, W]``.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths.
            hints: what the parts are told beside the video.
        """
        raise NotImplementedError


class GraphClassifier(VideoClassifier):
    """CNN → space-time graph → vector → classes (RSTG-to-vec, the "serial" form).

    An extractor that needs the frames beside the features gets the video as its hint ``frames``.

    Args:
        backbone: image module ``[F, c, H', W'] → [F, C, H, W]``.
        net: the space-time graph.
        num_classes: K.
        readout: nodes to a vector.
    """

    def __init__(
        self,
        backbone: nn.Module,
        net: SpaceTimeGraph,
        num_classes: int,
        readout: Readout | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.net = backbone, net
        self.num_classes = integer("num_classes", num_classes)
        self.readout = Readout() if readout is None else readout
        self.classifier = nn.Linear(net.out_channels, num_classes)

    def forward(
        self,
        video: Tensor,
        state: tuple[State, RunningMean] | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> Answer:
        """See :class:`VideoClassifier`."""
        clips, frames = filled_shape("video", video, "B T C H W")[:2]
        refuse_state(self, state)
        inner, mean = (None, None) if state is None else state
        mask = check_frame_mask(frame_mask, clips, frames)
        maps = put_frames(self.backbone(take_frames(video, mask)), mask, clips)
        if self.net.nodes.of_frames:
            hints = {"frames": video, **hints}
        x, graph, after = self.net(maps, inner, mask, **hints)
        vector, mean = self.readout.accumulate(x, graph, mean)
        return Answer(self.classifier(vector), x, graph, (after, mean))


class CNNClassifier(VideoClassifier):
    """A CNN with blocks in it as a classifier of clips.

    The logits of a 2D CNN are averaged over frames (DyReG, TSM); those of a 3D CNN are the clip's.

    Args:
        net: what :func:`~stgraph.insert` returned, around a CNN that ends in K logits. With no
            blocks in it (``insert(cnn, {}, input_size=...)``) this is the frame-average CNN.
        num_classes: K.

    Raises:
        InputError: when the CNN returns anything else.
    """

    def __init__(self, net: Inserted, num_classes: int) -> None:
        super().__init__()
        self.net = net
        self.num_classes = integer("num_classes", num_classes)

    def forward(
        self,
        video: Tensor,
        state: tuple[Mapping[str, Any], RunningMean] | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> Answer:
        """See :class:`VideoClassifier`; ``graphs`` has those of every place."""
        inner, mean = (None, None) if state is None else state
        logits, blocks, after = self.net(video, inner, frame_mask, **hints)
        if self.net.is_3d:
            shape("logits", logits, video.size(0), self.num_classes)
        else:
            shape("logits", logits, video.size(0), video.size(1), self.num_classes)
            logits, mean = mean_over_time(logits, mean, frame_mask)
        with_graph = {name: out for name, out in blocks.items() if hasattr(out, "graph")}
        last = next(reversed(with_graph.values()), None)
        return Answer(
            logits,
            None if last is None else last.x,
            None if last is None else last.graph,
            (after, mean),
            {name: out.graph for name, out in with_graph.items()},
        )
