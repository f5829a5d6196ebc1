"""Batch norm whose statistics are given."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import shape

__all__ = ["FixedStatsBatchNorm3d"]


class FixedStatsBatchNorm3d(nn.BatchNorm3d):
    r"""Batch norm by the stored mean and variance, in training too; scale and shift are trained.

    .. math:: y = γ \, (x - \mathrm{running\_mean}) / \sqrt{\mathrm{running\_var} + ε} + β

    For nets that start from trained weights and see few clips a batch (official code of RSTG). Its
    state dict is that of ``torch.nn.BatchNorm3d``.

    Args:
        channels: C.
        eps: ε.

    Shapes:
        ``[B, C, T, H, W]`` → the same.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        shape("input", input, "B", self.num_features, "T H W")
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
