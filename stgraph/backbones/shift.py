"""Temporal shift: frames see each other through channels that are moved along time."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, flag, integer, shape
from stgraph.padding import align, check_frame_mask, front, put_frames, take_frames

__all__ = ["ShiftOutput", "TemporalShift", "shifted_places"]


class ShiftOutput(NamedTuple):
    """What a temporal shift returns."""

    features: Tensor
    state: Tensor | None
    """Channels of the last frame that the next one takes over; ``None`` for the two-sided shift."""


class TemporalShift(nn.Module):
    r"""Move some channels by one frame; no parameters, no arithmetic (Lin et al. 2019, TSM).

    With :math:`n = ⌊C / \mathrm{fold}⌋`,

    .. math:: y^t_{[0, n)} = x^{t+1}_{[0, n)}, \quad y^t_{[n, 2n)} = x^{t-1}_{[n, 2n)}, \quad
        y^t_{[2n, C)} = x^t_{[2n, C)}

    with zeros beyond both ends. The online form takes from the past only,
    :math:`y^t_{[0, n)} = x^{t-1}_{[0, n)}`, and streams.

    Args:
        fold: what share of the channels moves in one direction: one in ``fold``.
        online: the one-sided form.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`ShiftOutput` with features of the same shape and, if
        online, the state ``[B, n, H, W]``.

    Raises:
        InputError: with fewer channels than ``fold``, or a state that does not fit.

    Examples:
        >>> x = torch.arange(1.0, 4.0).view(1, 3, 1, 1, 1).expand(1, 3, 4, 1, 1)
        >>> TemporalShift(4)(x).features[0, :, :, 0, 0].T
        tensor([[2., 3., 0.],
                [0., 1., 2.],
                [1., 2., 3.],
                [1., 2., 3.]])
    """

    def __init__(self, fold: int = 8, online: bool = False) -> None:
        super().__init__()
        self.fold = integer("fold", fold, minimum=2)
        self.causal = flag("online", online)

    def forward(
        self, features: Tensor, state: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> ShiftOutput:
        """Shift clips, or go on with those that ``state`` comes from.

        Args:
            features: feature maps ``[B, T, C, H, W]``.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths; the
                others come out as they went in.
        """
        clips, frames, channels, *_ = shape("features", features, "B T C H W")
        if channels < self.fold:
            raise InputError("features", f"at least {self.fold} channels", channels)
        mask = check_frame_mask(frame_mask, clips, frames)
        if mask is None:
            return self._shift(features, state, None)
        shifted, state = self._shift(align(features, mask), state, mask.sum(dim=1))
        moved = put_frames(take_frames(shifted, front(mask)), mask, clips)
        exists = mask[..., None, None, None].to(features.device, non_blocking=True)
        return ShiftOutput(torch.where(exists, moved, features), state)

    def _shift(self, features: Tensor, state: Tensor | None, lengths: Tensor | None) -> ShiftOutput:
        """Shift clips of ``lengths [B]``, with 0 behind their ends."""
        clips, _, channels, height, width = features.shape
        moved = channels // self.fold
        still = features[:, :, (1 if self.causal else 2) * moved :]
        if self.causal:
            if state is None:
                state = features.new_zeros(clips, moved, height, width)
            shape("state", state, clips, moved, height, width)
            past = torch.cat([state[:, None], features[:, :, :moved]], dim=1)  # [B, 1 + T, n, H, W]
            # A copy: a view would keep the whole piece in memory for as long as the state lives.
            last = past[:, -1].clone() if lengths is None else past[torch.arange(clips), lengths]
            return ShiftOutput(torch.cat([past[:, :-1], still], dim=2), last)
        if state is not None:
            raise InputError("state", "None: the two-sided shift needs the whole clip", "a state")
        zeros = features.new_zeros(clips, 1, moved, height, width)
        future = torch.cat([features[:, 1:, :moved], zeros], dim=1)
        past = torch.cat([zeros, features[:, :-1, moved : 2 * moved]], dim=1)
        return ShiftOutput(torch.cat([future, past, still], dim=2), None)

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"fold={self.fold}, online={self.causal}"


def shifted_places(net: nn.Module) -> list[str]:
    """Names of the places before which TSM shifts a ResNet: ``conv1`` of its residual blocks.

    All blocks where stage 3 has fewer than 23 of them, else every second block of each stage,
    beginning with the first (official code of TSM).

    Args:
        net: a net with stages ``layer1``, ``layer2``, … of blocks that have a ``conv1``: ours, or
            torchvision's.

    Raises:
        InputError: when there is no such stage.

    Examples:
        >>> from stgraph.backbones import resnet18
        >>> shifted_places(resnet18(stages=2))
        ['layer1.0.conv1', 'layer1.1.conv1', 'layer2.0.conv1', 'layer2.1.conv1']
    """
    stages = {
        name: [place for place, block in stage.named_children() if hasattr(block, "conv1")]
        for name, stage in net.named_children()
        if re.fullmatch(r"layer\d+", name)
    }
    if not any(stages.values()):
        raise InputError("net", "a ResNet with stages layer1, layer2, …", type(net).__name__)
    step = 2 if len(stages.get("layer3", ())) >= 23 else 1
    return [f"{name}.{place}.conv1" for name, places in stages.items() for place in places[::step]]
