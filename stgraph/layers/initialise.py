"""How layers that end in ReLU start."""

from __future__ import annotations

from torch import nn

__all__ = ["keep_scale"]


def keep_scale(module: nn.Module) -> None:
    """He initialisation of all linear layers inside: signals keep their scale through ReLU.

    With PyTorch's default, rounds of messages and updates shrink what distinguishes two clips.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
