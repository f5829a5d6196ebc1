"""Means that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ratio", "harmonic_mean"]


@dataclass(frozen=True, eq=False)
class Ratio:
    """A mean, as the sum and what it is over; or several, one an entry.

    Examples:
        >>> one, two = Ratio.of(torch.tensor([0.5, 1.0])), Ratio.of(torch.tensor([]))
        >>> one.value, two.value, (one + two).value
        (0.75, None, 0.75)
    """

    total: Tensor
    """The sum, in double precision where the device has it."""
    count: Tensor
    """How many, or how much, the sum is of."""

    @classmethod
    def of(cls, values: Tensor, counts: Tensor | None = None) -> Ratio:
        """Mean of the values, of those that ``counts`` (bool, of the same shape) if given."""
        if counts is None:
            counts = torch.ones_like(values, dtype=torch.bool)
        return cls(add_up(values.masked_fill(~counts, 0)), add_up(counts))

    @property
    def value(self) -> float | None:
        """The mean; ``None`` when it is over nothing."""
        count = float(self.count)
        return float(self.total) / count if count else None

    @property
    def values(self) -> list[float | None]:
        """The means, of several."""
        pairs = zip(self.total.tolist(), self.count.tolist(), strict=True)
        return [total / count if count else None for total, count in pairs]

    def __add__(self, other: object) -> Ratio:
        """Mean over both."""
        if not isinstance(other, Ratio):
            return NotImplemented
        return Ratio(self.total + other.total, self.count + other.count)


def add_up(values: Tensor) -> Tensor:
    """Sum of all values, in double precision where the device has it."""
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    return values.sum(dtype=wide)


def harmonic_mean(precision: float | None, recall: float | None) -> float | None:
    r"""Harmonic mean :math:`2pr / (p + r)` of two means; 0 when both are.

    Returns:
        ``None`` when one of them is.

    Examples:
        >>> harmonic_mean(0.25, 0.75), harmonic_mean(0.0, 0.0), harmonic_mean(None, 1.0)
        (0.375, 0.0, None)
    """
    if precision is None or recall is None:
        return None
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0
