"""What stands out on a map: what windows that move by themselves are drawn to."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, positive, shape
from stgraph.precision import precise

__all__ = ["Change", "Contrast", "Energy", "FilterEnergy", "LearnedSaliency", "Saliency"]


class Saliency(nn.Module, ABC):
    """How much a cell draws windows to itself: ``(maps, state, frame_mask) → (a, state)``."""

    of_frames: ClassVar[bool] = False
    """Whether it looks at the frames of the video, and not at the features."""

    @abstractmethod
    def forward(
        self, features: Tensor, state: Any = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Weigh the cells of clips.

        Args:
            features: maps ``[B, T, C, H, W]``, or frames.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool, on the CPU), first ones first; all
                by default. For the others anything may be returned.

        Returns:
            Weights ≥ 0 ``[B, T, h, w]``, in single precision at least, and the state to go on with.
            A saliency of features has their cells; one of frames may have any.
        """


class Energy(Saliency):
    r"""The mean of the squared features, :math:`a(p) = \frac{1}{C} \sum_c x_c(p)^2`.

    No parameters, no state. Behind a ReLU it is what the CNN responds to.
    """

    def forward(
        self, features: Tensor, state: None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """See the class."""
        return precise(features).square().mean(dim=2), None


class LearnedSaliency(Saliency):
    r"""A score that is learned, :math:`a(p) = \mathrm{softplus}(w^⊤ x(p) + b)`.

    Args:
        channels: C, channels of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Linear(integer("channels", channels), 1)

    def forward(
        self, features: Tensor, state: None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """See the class."""
        score = self.score(features.movedim(2, -1)).squeeze(-1)  # [B, T, H, W]
        return F.softplus(precise(score)), None


class Contrast(Saliency):
    r"""How steep the frames themselves are.

    .. math:: a = \sqrt{\mathrm{pool}\Bigl(\frac{1}{c} \sum_c
        (\partial_y x_c)^2 + (\partial_x x_c)^2\Bigr)}

    with differences of the two neighbours of a pixel. The last maps of a CNN are coarse: what they
    respond to jumps from cell to cell while an object moves by less, and their centroid with it.
    Energies on the frames, squared before they are pooled to larger cells, say far more exactly
    where it is. What is uniform, bright or dark, draws nothing; frames go on beyond their rims as
    they end. No parameters, no state.

    Args:
        stride: pixels of a cell of the map on an axis.
        eps: what is added inside the root and taken off behind it, for finite gradients.

    Shapes:
        frames ``[B, T, c, H', W']`` → ``[B, T, H'/stride, W'/stride]``.
    """

    of_frames: ClassVar[bool] = True

    def __init__(self, stride: int = 2, eps: float = 1e-6) -> None:
        super().__init__()
        self.stride, self.eps = integer("stride", stride), positive("eps", eps)

    def forward(
        self, features: Tensor, state: None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """See the class."""
        clips = shape("frames", features, "B T c H W")[0]
        frames = F.pad(precise(features.flatten(0, 1)), [1] * 4, mode="replicate")
        down = frames[..., 2:, 1:-1] - frames[..., :-2, 1:-1]
        across = frames[..., 1:-1, 2:] - frames[..., 1:-1, :-2]
        energy = (down.square() + across.square()).mean(dim=1, keepdim=True)
        return _amplitude(energy, clips, self.stride, self.eps), None


class FilterEnergy(Saliency):
    r"""What filters that are learned respond to in the frames themselves: see :class:`Contrast`.

    .. math:: a = \sqrt{\mathrm{pool}\Bigl(\frac{1}{C} \sum_c ((w_c - \bar w_c) * x)^2\Bigr)}

    Each filter is used without its mean in each channel, and frames go on beyond their rims as they
    end, so that what is uniform, bright or dark, draws nothing.

    Args:
        in_channels: channels of the frames.
        filters: C.
        side: cells of a filter on an axis, an odd number.
        stride: pixels of a cell of the map on an axis.
        eps: what is added inside the root and taken off behind it, for finite gradients.

    Shapes:
        frames ``[B, T, c, H', W']`` → ``[B, T, H'/stride, W'/stride]``.

    Raises:
        InputError: on filters of an even side.
    """

    of_frames: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int = 1,
        filters: int = 8,
        side: int = 3,
        stride: int = 2,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if integer("side", side) % 2 == 0:
            raise InputError("side", "an odd number", side)
        self.in_channels = integer("in_channels", in_channels)
        self.stride, self.eps = integer("stride", stride), positive("eps", eps)
        filters = integer("filters", filters)
        self.side = side
        self.weight = nn.Parameter(torch.empty(filters, in_channels, side, side))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the filters."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.weight[0].numel()))

    def forward(
        self, features: Tensor, state: None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """See the class."""
        clips = shape("frames", features, "B T", self.in_channels, "H W")[0]
        frames = features.flatten(0, 1).to(self.weight.dtype)  # of bytes, perhaps
        frames = F.pad(frames, [self.side // 2] * 4, mode="replicate")
        weight = self.weight - self.weight.mean(dim=(2, 3), keepdim=True)  # of each colour
        energy = precise(F.conv2d(frames, weight)).square().mean(dim=1, keepdim=True)
        return _amplitude(energy, clips, self.stride, self.eps), None


def _amplitude(energy: Tensor, clips: int, stride: int, eps: float) -> Tensor:
    """Root of the mean energy ``[B·T, 1, H', W']`` of every cell ``[B, T, h, w]``."""
    if min(energy.shape[-2:]) < stride:
        raise InputError("frames", f"at least {stride} pixels a side", list(energy.shape[-2:]))
    pooled = F.avg_pool2d(energy, stride)  # [B·T, 1, h, w]
    amplitude: Tensor = (pooled + eps).sqrt() - eps**0.5
    return amplitude.view(clips, -1, *pooled.shape[-2:])


class Change(Saliency):
    r"""The mean squared change since the last frame.

    .. math:: a^t(p) = \frac{1}{C} \sum_c \bigl(x_c^t(p) - x_c^{t-1}(p)\bigr)^2

    What stands still draws nothing; so does all of a clip's first frame. No parameters; the state
    is the last frame ``[B, C, H, W]``.
    """

    def forward(
        self, features: Tensor, state: Tensor | None = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See the class.

        Raises:
            InputError: on a state of maps of other sizes.
        """
        clips, _, width, height, columns = features.shape
        if state is not None:
            shape("state", state, clips, width, height, columns)
        first = features[:, 0] if state is None else state.to(features)
        seen = torch.cat([first[:, None], features], dim=1)
        change = precise(seen).diff(dim=1).square().mean(dim=2)
        if frame_mask is None:
            return change, features[:, -1].clone()
        last = frame_mask.sum(dim=1).to(features.device, non_blocking=True)  # 0 is the state
        return change, seen[torch.arange(clips, device=features.device), last]


def check_saliency(saliency: nn.Module) -> Saliency:
    """Return a saliency that is one.

    Raises:
        InputError: on anything else.
    """
    if not isinstance(saliency, Saliency):
        raise InputError("saliency", "a Saliency such as Energy()", type(saliency).__name__)
    return saliency
