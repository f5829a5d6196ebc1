"""What is known without seeing any motion, as a model that stands among others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError
from stgraph.classifiers import Answer
from stgraph.datasets.digits.oracle import oracle_answers
from stgraph.datasets.digits.synchrony import SyncMNIST

__all__ = ["Oracle2D"]


class Oracle2D(nn.Module):
    """Answers with the likeliest label for the digits of a clip (DyReG, "2D oracle").

    It is told the classes, as the hint ``digit_class``, and looks at no frame. There is nothing to
    be trained in it: it is tested alone.

    Args:
        clips: data set whose rules of synchrony it knows; only its options are read.
        num_classes: K.

    Raises:
        InputError: in use, where it is not told the classes.

    Examples:
        >>> from stgraph.datasets import MultiSyncMNIST, sklearn_digits
        >>> oracle = Oracle2D(MultiSyncMNIST(sklearn_digits()))
        >>> video = torch.zeros(1, 10, 1, 128, 128)
        >>> logits = oracle(video, digit_class=torch.tensor([[2, 4, 6, 7, 7]])).logits
        >>> logits.shape, logits.argmax()
        (torch.Size([1, 56]), tensor(23))
    """

    causal = True

    def __init__(self, clips: SyncMNIST, num_classes: int = 56) -> None:
        super().__init__()
        self.clips = clips
        self.num_classes = num_classes

    def forward(
        self, video: Tensor, state: Any = None, digit_class: Tensor | None = None
    ) -> Answer:
        """See the class."""
        if digit_class is None:
            expected = "`digit_class: digit_class`, the classes that it is told"
            raise InputError("model.hints", expected, "none")
        known = torch.from_numpy(oracle_answers(self.clips, digit_class.cpu().numpy()))
        logits = F.one_hot(known.to(video.device), self.num_classes).float()  # [B, K]
        return Answer(logits, None, None, None)
