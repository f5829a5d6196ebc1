"""Reading checkpoints: nothing but tensors and plain values is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import InputError

__all__ = ["check_keys", "load_weights", "read"]

_SHOWN = 5


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that ``stgraph fit`` wrote, on the CPU.

    Raises:
        InputError: when there is no such file, or it is not such a checkpoint, or it holds more
            than tensors and plain values.
    """
    expected = "a checkpoint of `stgraph fit`"
    if not Path(path).is_file():
        raise InputError("ckpt_path", expected, f"{path}, which does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways: OSError, KeyError, TypeError, …
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            "ckpt_path", expected, f"{path}, which does not load ({reason})"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise InputError("ckpt_path", expected, f"{path}, which has no state_dict")
    return checkpoint


def check_keys(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Check that a state dict is one of this module, by names and shapes.

    Raises:
        InputError: naming what is missing, unexpected or of another shape.

    Examples:
        >>> check_keys(nn.Linear(2, 3, bias=False), {"weight": torch.zeros(3, 4)})
        Traceback (most recent call last):
        stgraph.checks.InputError: checkpoint: expected the weights of this Linear, got those of
        another model (other shapes: weight [3, 4] for [3, 2])
    """
    own = module.state_dict()
    faults = {
        "missing": [name for name in own if name not in state_dict],
        "unexpected": [name for name in state_dict if name not in own],
        "other shapes": [
            f"{name} {list(state_dict[name].shape)} for {list(value.shape)}"
            for name, value in own.items()
            if name in state_dict and state_dict[name].shape != value.shape
        ],
    }
    if any(faults.values()):
        raise InputError(
            "checkpoint",
            f"the weights of this {type(module).__name__}",
            "those of another model ("
            + "; ".join(_told(*item) for item in faults.items() if item[1])
            + ")",
        )


def _told(fault: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{fault}: {', '.join(names[:_SHOWN])}{more}"


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load the weights of a checkpoint into the training module that it was written from.

    Args:
        module: for example a :class:`stgraph.training.ClassificationModule`.
        path: a checkpoint of ``stgraph fit``.

    Raises:
        InputError: when the file is no checkpoint or is one of another model.
    """
    state_dict = read(path)["state_dict"]
    check_keys(module, state_dict)
    module.load_state_dict(state_dict)
