"""How windows that lie on each other divide what they see."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stgraph.checks import InputError, positive

__all__ = ["Competition"]


@dataclass(frozen=True)
class Competition:
    r"""Windows share each cell, as the components of a mixture do.

    .. math:: K_n(p) ← \frac{K_n(p)^β}{ε + \sum_m K_m(p)^β}

    of kernels whose peak is 1. Without it two windows whose objects meet see both of them, are
    drawn to the middle, and leave it together. For kernels that are products of rows and columns
    so are their powers, and the sum over windows is one matrix product, so nothing of the size of
    N maps is made.

    Args:
        power: β; the larger it is, the more the nearest window takes.
        others: ε, what stands for all that is no window; it softens the rims of windows that are
            alone.
    """

    power: float = 2.0
    others: float = 0.01

    def __post_init__(self) -> None:
        positive("power", self.power)
        if not self.others > 0:
            raise InputError("others", "above 0", self.others)

    def __call__(
        self, rows: Tensor, columns: Tensor, saliency: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Divide a map among windows.

        Args:
            rows: weights of rows ``[..., N, H]``, 1 at their peaks.
            columns: weights of columns ``[..., N, W]``.
            saliency: the map ``[..., H, W]``.

        Returns:
            The factors of window n's part: rows ``[..., N, H]``, columns ``[..., N, W]``, and what
            all have in common, ``[..., H, W]``.
        """
        rows, columns = rows**self.power, columns**self.power
        return rows, columns, saliency / (self.others + rows.transpose(-2, -1) @ columns)
