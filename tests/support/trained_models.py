"""Models as a training would leave them, and what they answer."""

from __future__ import annotations

import torch
from torch import nn


def trained(model: nn.Module) -> nn.Module:
    """The model with other weights and buffers than it starts with, asleep blocks awake."""
    for value in model.state_dict().values():
        if not value.is_floating_point():
            value.add_(3)
        elif value.ndim == 1:
            value.mul_(1 + 0.1 * torch.rand_like(value)).add_(0.1 * torch.rand_like(value))
        else:
            value.mul_(1 + 0.1 * torch.randn_like(value))
    return model.eval()


def answer(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a model, a block or a network answers, as one tensor."""
    hints = {"frames": x[:, :, :1]} if getattr(model, "of_frames", False) else {}
    with torch.no_grad():
        out = model(x, **hints)
    if hasattr(out, "logits"):
        return out.logits
    return out.features if hasattr(out, "features") else out[0].x
