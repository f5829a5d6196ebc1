"""What stands out on a map: what windows that move by themselves are drawn to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, shape
from stgraph.kernels import precise

__all__ = ["Change", "Energy", "LearnedSaliency", "Saliency"]


class Saliency(nn.Module, ABC):
    """How much a cell draws windows to itself: ``(features, state, frame_mask) → (a, state)``."""

    @abstractmethod
    def forward(
        self, features: Tensor, state: Any = None, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Weigh the cells of clips.

        Args:
            features: maps ``[B, T, C, H, W]``.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool, on the CPU), first ones first; all
                by default. For the others anything may be returned.

        Returns:
            Weights ≥ 0 ``[B, T, H, W]``, in single precision at least, and the state to go on with.
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
            shape("state", state, f"{clips} {width} {height} {columns}")
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
