"""What joins the loss of classification in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from stgraph.classifiers import Answer

__all__ = ["Auxiliary"]


class Auxiliary(nn.Module, ABC):
    """A loss beside that of the labels, for training only.

    Its own parameters, if it has any, are trained along with the model's.
    """

    share: float = 1.0
    """Share of the run's steps, from the first, in which it is asked; then it is not run."""

    hints: Mapping[str, str] = MappingProxyType({})
    """What the model is told beside the video, as the module that trains it has it."""

    @abstractmethod
    def forward(self, answer: Answer, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the number that joins the loss.

        Args:
            answer: the model's answer to the clips.
            batch: the clip batch, with ``video`` as the model saw it: scaled, float.
        """
