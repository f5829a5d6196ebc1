"""Sizes of a batch of frame graphs, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from stgraph.checks import InputError

__all__ = ["Layout", "clips_of", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """Sizes of a batch of frame graphs, as plain numbers that no device has to be asked for.

    Args:
        clips: B.
        frames: T, of the longest clip, or of clips with padding.
        nodes: N, node identities of a clip.
        height: rows H of the feature map.
        width: columns W of the feature map.
        origin: for a single graph taken out of a batch, ``(bT + t, B, T)`` there, with T the
            length of its clip.
        exists: where clips have different lengths, which of the T frames of each clip there are in
            the features that the graphs come from.
        loose: whether the frames make no clips: a selection of frames, batched again. What works
            inside frames takes them, what works along time refuses them.
    """

    clips: int
    frames: int
    nodes: int
    height: int
    width: int
    origin: tuple[int, int, int] | None = None
    exists: tuple[tuple[bool, ...], ...] | None = None
    loose: bool = field(default=False, compare=False)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames of every clip."""
        if self.exists is None:
            return (self.frames,) * self.clips
        return tuple(map(sum, self.exists))

    @property
    def uneven(self) -> tuple[int, ...] | None:
        """Frames of every clip where a mask says so; ``None`` where all have T.

        So nothing is made of every clip where only their number may matter, which compilers and
        exported programs leave open.
        """
        return None if self.exists is None else self.lengths

    @property
    def graphs(self) -> int:
        """Number of frame graphs: B·T, or the frames of all clips together."""
        return self.clips * self.frames if self.exists is None else sum(self.lengths)

    @property
    def slots(self) -> int:
        """Number of node slots: the nodes there would be if all were present."""
        return self.graphs * self.nodes

    def __getitem__(self, number: int) -> Layout:
        """Layout of one frame graph; ``Batch.get_example`` asks for it."""
        lengths, clip, frame = self.lengths, 0, int(number) % self.graphs
        while frame >= lengths[clip]:
            clip, frame = clip + 1, frame - lengths[clip]
        origin = (clip * lengths[clip] + frame, self.clips, lengths[clip])
        return Layout(1, 1, self.nodes, self.height, self.width, origin)

    @staticmethod
    def of_lengths(lengths: Sequence[int], nodes: int, height: int, width: int) -> Layout:
        """Layout of clips of these lengths."""
        longest = max(lengths, default=0)
        exists = None
        if any(length != longest for length in lengths):
            exists = tuple(tuple(t < length for t in range(longest)) for length in lengths)
        return Layout(len(lengths), longest, nodes, height, width, exists=exists)

    @staticmethod
    def join(parts: list[Layout]) -> Layout:
        """Layout of a batch made of single graphs.

        Whole clips, one after another with their frames in order, are clips again, of whatever
        lengths and from whatever batches; any other selection is :attr:`loose` frames.

        Raises:
            InputError: when the parts differ in N, H or W.
        """
        sizes = {(part.nodes, part.height, part.width) for part in parts}
        if len(sizes) != 1:
            raise InputError("layout", "graphs of one (nodes, height, width)", sorted(sizes))
        if any(part.graphs != 1 for part in parts):
            # PyG numbers the frames of such a batch by those that have nodes, and so wrongly.
            expected = "single graphs; batch [frame for clip in clips for frame in clip[:]]"
            raise InputError("graph", expected, "a batch of batches")
        lengths = _whole_clips([part.origin or (0, 1, 1) for part in parts])
        if lengths is None:
            return Layout(len(parts), 1, *sizes.pop(), loose=True)
        return Layout.of_lengths(lengths, *sizes.pop())


# So that InMemoryDataset.load and torch.load read single graphs as weights only, which runs no
# code. All four hold plain values; PyG allows its Data itself, and not what that is made of.
torch.serialization.add_safe_globals([Layout, DataEdgeAttr, DataTensorAttr, GlobalStorage])


def _whole_clips(origins: list[tuple[int, int, int]]) -> list[int] | None:
    """Lengths of the clips that frames make in this order; ``None`` when they make none."""
    lengths, place = [], 0
    while place < len(origins):
        first, _, length = origins[place]
        came = [(number, of) for number, _, of in origins[place : place + length]]
        if first % length or came != [(first + t, length) for t in range(length)]:
            return None
        lengths.append(length)
        place += length
    return lengths


def layout_of(graph: Data) -> Layout:
    """Layout of a frame graph or of a batch of them, however it was batched.

    Raises:
        InputError: when the graph carries none, so is no frame graph.
    """
    layout = getattr(graph, "layout", None)
    if isinstance(layout, list) and layout:  # what PyG's collate makes of plain objects
        return Layout.join([Layout.join(p) if isinstance(p, list) else p for p in layout])
    if not isinstance(layout, Layout):
        raise InputError("graph", "frame graphs with a `layout` (see stgraph.graph)", repr(graph))
    return layout


def clips_of(graph: Data) -> Layout:
    """Layout of frame graphs that make clips: what works along time asks for it.

    Raises:
        InputError: when they make none; :func:`~stgraph.graph.as_clips` says which they should be.
    """
    layout = layout_of(graph)
    if layout.loose:
        whole = "whole clips, frame after frame; or say as_clips(graph, 1) for one-frame clips"
        raise InputError("graph", whole, f"{layout.graphs} frames that make no clips")
    return layout
