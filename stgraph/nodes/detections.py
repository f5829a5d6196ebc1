"""From what a detector and a tracker return to the hints of :class:`~stgraph.nodes.BoxNodes`.

Detectors return as many boxes as they find, in pixels, and trackers number whoever comes along.
``BoxNodes`` takes tensors with slots, boxes in 0..1 of the frame, and identities 0..N−1:
:func:`pad_detections` and :func:`track_slots` make the one of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stgraph.checks import InputError, integer, node_count, shape
from stgraph.precision import precise

__all__ = ["Tracks", "pad_detections", "relative_boxes", "track_slots"]

Detections = Mapping[str, Tensor]
"""What was found in a frame, a row a box: ``boxes [m, 4]``, and ``scores [m]``, ``ids [m]``, …"""


def relative_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes in pixels as shares of the frame, cut off at its borders.

    A box that lies outside of the frame has no area then, and is no box to ``BoxNodes``.

    Args:
        boxes: (x1, y1, x2, y2) ``[..., 4]`` in pixels of the frame that the detector saw.
        height: rows of that frame.
        width: columns of that frame.

    Returns:
        (x1, y1, x2, y2) ``[..., 4]`` in 0..1, in single precision at least.

    Raises:
        InputError: on another shape, or a frame without pixels.

    Examples:
        >>> relative_boxes(torch.tensor([[-8.0, 12.0, 32.0, 24.0]]), height=48, width=64)
        tensor([[0.0000, 0.2500, 0.5000, 0.5000]])
    """
    if not isinstance(boxes, Tensor) or boxes.shape[-1:] != (4,):
        came = list(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
        raise InputError("boxes", "[..., 4]", came)
    rows, columns = integer("height", height), integer("width", width)
    x1, y1, x2, y2 = precise(boxes).unbind(-1)
    return torch.stack([x1 / columns, y1 / rows, x2 / columns, y2 / rows], dim=-1).clamp(0, 1)


def pad_detections(
    clips: Sequence[Sequence[Detections]],
    slots: int | None = None,
    pixels: tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """Pad the detections of frames to tensors with slots.

    Boxes without area are left out. Where a frame has more than ``slots`` others, those with the
    highest scores stay. The order of a frame's boxes is kept.

    Args:
        clips: B clips of T frames each, and of each frame what was found, as the detectors of
            torchvision return it: ``boxes [m, 4]`` and any other fields ``[m, …]``, the same ones
            in every frame. m may be 0 and differs from frame to frame.
        slots: M; the largest number in a frame by default. Give it on a stream, so that all pieces
            have the same number.
        pixels: (height, width) of the frames if the boxes are in pixels; in 0..1 by default.

    Returns:
        ``boxes [B, T, M, 4]``, ``present [B, T, M]`` (bool), and every other field
        ``[B, T, M, …]``, all 0 where there is no box. The hints of ``BoxNodes`` are among them by
        their names, ``scores`` too.

    Raises:
        InputError: without clips or frames, on clips of different lengths, frames of different
            fields, fields of other shapes, and too many boxes without scores.

    Examples:
        >>> found = {"boxes": torch.tensor([[0.0, 0.0, 32.0, 24.0]]), "scores": torch.tensor([0.9])}
        >>> nothing = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)}
        >>> padded = pad_detections([[found, nothing]], pixels=(48, 64))
        >>> padded["boxes"].shape, padded["present"].flatten()
        (torch.Size([1, 2, 1, 4]), tensor([ True, False]))
    """
    if not clips or not clips[0]:
        raise InputError("clips", "at least one clip of at least one frame", "none")
    if len({len(clip) for clip in clips}) != 1:
        raise InputError("clips", "clips of one length", [len(clip) for clip in clips])
    if pixels is not None and len(pixels) != 2:
        raise InputError("pixels", "(height, width)", pixels)
    fields = list(clips[0][0] or ())
    frames = [_checked(frame, fields, pixels) for clip in clips for frame in clip]
    most = max(len(frame["boxes"]) for frame in frames)
    number = most if slots is None else node_count("slots", slots)
    frames = [_best(frame, number) for frame in frames]
    lead = (len(clips), len(clips[0]), number)
    present = torch.zeros(lead, dtype=torch.bool, device=frames[0]["boxes"].device).flatten(0, 1)
    padded = {name: _empty(name, [frame[name] for frame in frames], number) for name in fields}
    for place, frame in enumerate(frames):
        present[place, : len(frame["boxes"])] = True
        for name, value in frame.items():
            padded[name][place, : len(value)] = value
    return {
        name: value.reshape(*lead[:2], *value.shape[1:])
        for name, value in (padded | {"present": present}).items()
    }


def _empty(name: str, values: list[Tensor], slots: int) -> Tensor:
    """Room for a field of all frames; of a frame without boxes its kind counts for nothing."""
    found = [value for value in values if len(value)] or values[:1]
    kinds = {(value.dtype, value.shape[1:]) for value in found}
    if len(kinds) > 1:
        came = " and ".join(sorted(f"{kind} {list(sizes)}" for kind, sizes in kinds))
        raise InputError(name, "one type and shape in every frame", came)
    return found[0].new_zeros(len(values), slots, *found[0].shape[1:])


def _checked(
    frame: Detections, fields: list[str], pixels: tuple[int, int] | None
) -> dict[str, Tensor]:
    """The fields of a frame, of the boxes that have an area, in 0..1."""
    if not isinstance(frame, Mapping):
        raise InputError("clips", "a dict with `boxes` of every frame", type(frame).__name__)
    if list(frame) != fields and set(frame) != set(fields):
        raise InputError("clips", f"the fields {fields} in every frame", list(frame))
    if "boxes" not in frame or "present" in frame:
        raise InputError("clips", "`boxes` of every frame, and no `present`", list(frame))
    count = shape("boxes", frame["boxes"], "m 4")[0]
    for name, value in frame.items():
        if not isinstance(value, Tensor) or value.dim() < 1 or value.size(0) != count:
            came = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(name, f"[{count}, ...] (a row a box)", came)
    boxes = frame["boxes"] if pixels is None else relative_boxes(frame["boxes"], *pixels)
    kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    return {name: value[kept] for name, value in {**frame, "boxes": boxes}.items()}


def _best(frame: dict[str, Tensor], slots: int) -> dict[str, Tensor]:
    """At most so many boxes of a frame, by their scores."""
    count = len(frame["boxes"])
    if count <= slots:
        return frame
    if "scores" not in frame:
        raise InputError("clips", f"at most {slots} boxes a frame without `scores`", count)
    shape("scores", frame["scores"], count)
    best = frame["scores"].topk(slots).indices.sort().values
    return {name: value[best] for name, value in frame.items()}


class Tracks(NamedTuple):
    """Who holds which slot, between two pieces of a stream."""

    ids: Tensor
    """Whose slot it is ``[B, N]`` (int64); anything where it is nobody's."""
    away: Tensor
    """For how many frames its holder has been away ``[B, N]`` (int64); −1 where it is nobody's."""


torch.serialization.add_safe_globals([Tracks])


def track_slots(
    ids: Tensor,
    present: Tensor,
    slots: int,
    forget_after: int | None = None,
    state: Tracks | None = None,
) -> tuple[Tensor, Tensor, Tracks]:
    """Give the ids of a tracker, which grow without end, slots 0..N−1 that stay theirs.

    An id keeps its slot. A new one gets the first that nobody holds, or whose holder has been away
    for longer than ``forget_after`` frames; where there is none, its box is left out of the frame.
    With the same number in ``TimeLayer(forget_after=...)`` a slot's memory starts anew with its new
    holder. In pieces, with the state, all is as at once.

    Args:
        ids: numbers of the boxes' tracks ``[B, T, M]``, any whole numbers.
        present: where there is a box ``[B, T, M]`` (bool).
        slots: N, identities: ``num_nodes`` of ``BoxNodes``.
        forget_after: frames of absence that a slot outlasts; ``None`` is any number.
        state: what an earlier piece of the same clips returned.

    Returns:
        The hints ``track [B, T, M]`` and ``present [B, T, M]``, and the state to go on with.

    Raises:
        InputError: on other shapes or types, an id that stands twice in a frame, or a state of
            another number of clips or slots.

    Examples:
        >>> ids = torch.tensor([[[70, 12], [12, 31]]])
        >>> track, present, _ = track_slots(ids, torch.ones(1, 2, 2, dtype=torch.bool), slots=3)
        >>> track.tolist(), bool(present.all())
        ([[[0, 1], [1, 2]]], True)
    """
    clips, frames, _ = shape("ids", ids, "B T M")
    integer("T", frames)
    shape("present", present, " ".join(map(str, ids.shape)))
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise InputError("ids", "a tensor of whole numbers", ids.dtype)
    if present.dtype != torch.bool:
        raise InputError("present", "a tensor of bool", present.dtype)
    node_count("slots", slots)
    longest = None if forget_after is None else integer("forget_after", forget_after, minimum=0)
    if state is None:
        nobody = torch.full((clips, slots), -1, dtype=torch.long, device=ids.device)
        state = Tracks(nobody, nobody)
    if not isinstance(state, Tracks):
        raise InputError("state", "the Tracks of an earlier call", type(state).__name__)
    for part in state:
        shape("state", part, clips, slots)
    twice = (ids[..., None] == ids[..., None, :]) & present[..., None] & present[..., None, :]
    if bool((twice.sum(dim=-1) > 1).any()):
        raise InputError("ids", "an id once a frame", "one that stands twice")
    held, tracks, there = state, [], []
    for now, here in zip(ids.long().unbind(1), present.unbind(1), strict=True):
        match, held = _frame(now, here, held, longest)
        tracks.append(match.long().argmax(dim=-1))
        there.append(match.any(dim=-1))
    return torch.stack(tracks, dim=1), torch.stack(there, dim=1), held


def _frame(ids: Tensor, here: Tensor, held: Tracks, longest: int | None) -> tuple[Tensor, Tracks]:
    """Which box ``[B, M]`` has which slot ``[B, M, N]`` (bool), and who holds them afterwards."""
    taken = held.away >= 0
    known = (ids[:, :, None] == held.ids[:, None]) & taken[:, None] & here[..., None]
    free = ~taken if longest is None else ~taken | (held.away > longest)
    free = free & ~known.any(dim=1)
    new = here & ~known.any(dim=2)
    rank = (new.cumsum(dim=1)[..., None], free.cumsum(dim=1)[:, None])  # first come, first served
    given = new[..., None] & free[:, None] & (rank[0] == rank[1])
    match = known | given
    holders = torch.where(given.any(dim=1), (given * ids[..., None]).sum(dim=1), held.ids)
    away = torch.where(taken, held.away + 1, held.away).masked_fill(match.any(dim=1), 0)
    return match, Tracks(holders, away)
