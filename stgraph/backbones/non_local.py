"""The non-local block: every point of a clip attends to all points of the clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from stgraph.checks import InputError, integer, shape
from stgraph.padding import check_frame_mask, put_frames, take_frames

__all__ = ["NonLocalBlock", "NonLocalOutput"]


class NonLocalOutput(NamedTuple):
    """What a non-local block returns."""

    features: Tensor
    state: None
    """Nothing: the block needs the whole clip at once."""


class NonLocalBlock(nn.Module):
    r"""Attention over all points of a clip, as a residual (Wang et al. 2018).

    .. math:: y = x + \mathrm{norm}_{γ=0}(W_z \,
        \mathrm{softmax}(θ(x)^⊤ φ(x') / \sqrt{C/2}) \, g(x'))

    with 1×1×1 convolutions θ, φ, g to C/2 channels and x' = x after 2×2 max-pooling in space. The
    norm starts at 0, so a block put into a trained CNN changes nothing before it is trained.

    Args:
        channels: C, an even number.
        norm: makes the norm, for maps ``[B, C, T, H, W]``; it must have a ``weight``.
        pool: how x' is pooled, ``[B, C, T, H, W] → [B, C, T, H', W']``. By default 2×2 max-pooling
            with an incomplete last window on maps of odd height or width;
            ``torch.nn.MaxPool3d((1, 2, 2))`` leaves their last row and column out, as the official
            code of RSTG does.

    Shapes:
        features ``[B, T, C, H, W]`` → :class:`NonLocalOutput` with features of the same shape.

    Raises:
        InputError: on an odd number of channels, features of another shape, or a state.

    Examples:
        >>> sum(p.numel() for p in NonLocalBlock(512).parameters())
        526592
    """

    causal = False

    def __init__(
        self,
        channels: int,
        norm: Callable[[int], nn.Module] = nn.BatchNorm3d,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.channels = integer("channels", channels, minimum=2)
        if channels % 2:
            raise InputError("channels", "an even number", channels)
        self.theta = nn.Conv3d(channels, channels // 2, 1)
        self.phi = nn.Conv3d(channels, channels // 2, 1)
        self.g = nn.Conv3d(channels, channels // 2, 1)
        self.out = nn.Conv3d(channels // 2, channels, 1)
        self.pool = nn.MaxPool3d((1, 2, 2), ceil_mode=True) if pool is None else pool
        self.norm = norm(channels)
        weight = getattr(self.norm, "weight", None)
        if not isinstance(weight, nn.Parameter):
            raise InputError("norm", "a norm with a weight to start at 0", self.norm)
        nn.init.zeros_(weight)

    def forward(
        self, features: Tensor, state: None = None, frame_mask: Tensor | None = None
    ) -> NonLocalOutput:
        """Run the block.

        Args:
            features: feature maps ``[B, T, C, H, W]`` of whole clips.
            state: none.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths; the
                others come out as they went in.

        Raises:
            InputError: on a mask where the norm is no batch norm, so that it sees clips as wholes.
        """
        clips, frames = shape("features", features, "B T", self.channels, "H W")[:2]
        if state is not None:
            raise InputError("state", "None: a non-local block needs the whole clip", "a state")
        mask = check_frame_mask(frame_mask, clips, frames)
        if mask is None:
            added = self.norm(self._attend(features.transpose(1, 2))).transpose(1, 2)
            return NonLocalOutput(features + added, None)
        if not isinstance(self.norm, _BatchNorm):
            raise InputError("frame_mask", "None, with a norm over whole clips", self.norm)
        known = put_frames(take_frames(features, mask), mask, clips)
        maps = take_frames(self._attend(known.transpose(1, 2), mask).transpose(1, 2), mask)
        normed = self.norm(maps.transpose(0, 1)[None])[0].transpose(0, 1)  # as one long clip
        return NonLocalOutput(features + put_frames(normed, mask, clips), None)

    def _attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the points of ``x [B, C, T, H, W]`` see, ``[B, C, T, H, W]``."""
        pooled = self.pool(x)  # [B, C, T, H/2, W/2]
        query, key, value = (
            part.flatten(2).transpose(1, 2)[:, None]  # one head: [B, 1, points, C/2]
            for part in (self.theta(x), self.phi(pooled), self.g(pooled))
        )
        known = None
        if mask is not None:  # a clip without frames may see all: softmax over nothing is NaN
            known = mask | ~mask.any(dim=1, keepdim=True)
            known = known.to(x.device).repeat_interleave(pooled.shape[3:].numel(), dim=1)
            known = known[:, None, None]  # [B, 1, 1, points]
        seen = F.scaled_dot_product_attention(query, key, value, known)  # [B, 1, T·H·W, C/2]
        maps = seen[:, 0].transpose(1, 2).reshape(x.size(0), -1, *x.shape[2:])  # [B, C/2, T, H, W]
        return self.out(maps)  # type: ignore[no-any-return]
