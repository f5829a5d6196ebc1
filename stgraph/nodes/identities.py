"""Hints with M slots a frame, of which identities they are: what extractors of such share."""

from __future__ import annotations

import torch
from torch import Tensor

from stgraph.checks import InputError, shape
from stgraph.precision import precise_type

__all__ = ["beside", "by_identity", "check_scores", "check_slots", "check_values"]


def check_slots(
    name: str,
    sizes: tuple[int, int, int],
    nodes: int,
    present: Tensor | None,
    track: Tensor | None,
    frame_mask: Tensor | None,
    like: Tensor,
) -> Tensor | None:
    """Check the hints ``present`` and ``track``, and return which slots hold something.

    Args:
        name: of the hint whose slots they are.
        sizes: B, T and M.
        nodes: N, identities.
        present: where there is something ``[B, T, M]`` (bool), or ``None``.
        track: identities ``[B, T, M]`` of whole numbers, or ``None``.
        frame_mask: which frames exist ``[B, T]``, or ``None``.
        like: a tensor on the device of the hint.

    Returns:
        ``present [B, T, M]`` without what is in padding, or ``None`` where all are.

    Raises:
        InputError: on other shapes or types, and more slots than identities without tracks.
    """
    clips, frames, count = sizes
    if not nodes:
        raise InputError(name, "at least one slot a frame, or num_nodes=", list(sizes))
    for hint, value in (("present", present), ("track", track)):
        if value is not None:
            shape(hint, value, clips, frames, count)
    if present is not None and present.dtype != torch.bool:
        raise InputError("present", "a tensor of bool", present.dtype)
    if track is not None and (track.is_floating_point() or track.dtype == torch.bool):
        raise InputError("track", "a tensor of whole numbers", track.dtype)
    if track is None and count > nodes:
        raise InputError(name, f"at most {nodes} a frame without track ids", count)
    if frame_mask is None:  # padding may hold anything
        return present
    frame = frame_mask[..., None].to(like.device, non_blocking=True)
    if present is None:
        return frame.expand(clips, frames, count)
    return present & frame.to(present.device)


def check_scores(scores: Tensor, sizes: tuple[int, int, int]) -> None:
    """Check the hint ``scores [B, T, M, …]``.

    Raises:
        InputError: on another shape.
    """
    if not isinstance(scores, Tensor) or tuple(scores.shape[:3]) != sizes:
        came = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError("scores", f"[{', '.join(map(str, sizes))}, ...]", came)


def check_values(
    name: str,
    one: str,
    faults: dict[str, Tensor],
    values: Tensor,
    present: Tensor | None,
    track: Tensor | None,
    nodes: int,
) -> None:
    """Look at what the slots hold, with one look at the device.

    Args:
        name: of the hint.
        one: what one slot of it holds, in a word.
        faults: where values are wrong ``[B, T, M]``, by what they should be.
        values: what is told of a wrong one ``[B, T, M, …]``.
        present: which slots hold something ``[B, T, M]``, or ``None`` where all do.
        track: identities ``[B, T, M]``, or ``None``.
        nodes: N.

    Raises:
        InputError: with the first wrong value.
    """
    there = values.new_ones(values.shape[:3], dtype=torch.bool)
    if present is not None:
        there = present.to(values.device)
    of_values = len(faults)
    if track is not None:
        track = track.to(values.device).long()
        outside = (track < 0) | (track >= nodes)
        place = track.masked_fill(outside | ~there, nodes)
        times = torch.zeros(*place.shape[:2], nodes + 1, dtype=torch.long, device=place.device)
        times = times.scatter_add(2, place, torch.ones_like(place))
        twice = (times.gather(2, place) > 1) & (place < nodes)
        faults = {**faults, f"ids in 0..{nodes - 1}": outside, "an id once a frame": twice}
    wrong = torch.stack([fault & there for fault in faults.values()])
    if not wrong.any():
        return
    kind, clip, frame, number = wrong.nonzero()[0].tolist()
    if kind >= of_values and track is not None:
        name, values = "track", track
    got = values[clip, frame, number].tolist()
    raise InputError(
        name, list(faults)[kind], f"{got} (clip {clip}, frame {frame}, {one} {number})"
    )


def beside(value: Tensor, features: Tensor) -> Tensor:
    """What came with the features, where they are, in single precision at least."""
    dtype = precise_type(features.dtype)
    return value.to(features.device, dtype, non_blocking=value.device.type == "cpu")


def by_identity(
    values: Tensor, present: Tensor | None, track: Tensor | None, nodes: int
) -> tuple[Tensor, Tensor | None]:
    """Values of slots ``[B, T, M, …]`` by identity ``[B, T, N, …]``, and which are there.

    ``None`` where all are.
    """
    count = values.size(2)
    if present is None and track is None and count == nodes:
        return values, None
    if present is None:
        present = values.new_ones(values.shape[:3], dtype=torch.bool)
    if track is None:
        track = torch.arange(count, device=values.device).expand(present.shape)
    present, track = present.to(values.device), track.to(values.device)
    place = track.long().masked_fill(~present, nodes)  # one slot more, for what is not there
    rest = (1,) * (values.dim() - 3)
    known = values.masked_fill(~present.view(*present.shape, *rest), 0)
    out = values.new_zeros(*values.shape[:2], nodes + 1, *values.shape[3:])
    out = out.scatter(2, place.view(*place.shape, *rest).expand_as(values), known)
    mask = present.new_zeros(*present.shape[:2], nodes + 1).scatter(2, place, present)
    return out[:, :, :nodes], mask[:, :, :nodes]
