"""What a model is told beside the video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from stgraph.checks import InputError, accepts

__all__ = ["ask"]


def ask(
    model: nn.Module, video: Tensor, batch: Mapping[str, Tensor], hints: Mapping[str, str]
) -> Any:
    """Return a model's answer to a video, with hints from the clip batch.

    A clip batch with a field ``frame_mask [B, T]`` is one of clips of different lengths, and the
    model is told so.

    Args:
        model: ``(video, state=None, frame_mask=None, **hints) → answer``.
        video: as the model sees it ``[B, T, C, H, W]``.
        batch: where the hints come from.
        hints: fields of the batch, by the name of the model's argument.

    Raises:
        InputError: when the batch has no such field, or the model takes no such argument.
    """
    if missing := [field for field in hints.values() if field not in batch]:
        raise InputError("hints", f"fields of the clip batch, {sorted(batch)}", missing)
    told = {name: batch[field] for name, field in hints.items()}
    if "frame_mask" in batch:
        told["frame_mask"] = batch["frame_mask"]
    if unknown := [name for name in told if not accepts(model.forward, name)]:
        raise InputError("hints", f"what {type(model).__name__} takes", unknown)
    return model(video, None, **told)
