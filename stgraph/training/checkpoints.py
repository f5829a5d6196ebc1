"""Reading checkpoints: nothing but tensors and plain values is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import InputError
from stgraph.reading import read_safetensors, read_torch
from stgraph.weights.by_name import alike, told

__all__ = ["check_keys", "check_resumable", "load_weights", "read"]

_SHOWN = 5


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that ``stgraph fit`` wrote, on the CPU.

    A file of safetensors is its weights alone.

    Raises:
        InputError: when there is no such file, or it is not such a checkpoint, or it holds more
            than tensors and plain values.
    """
    expected = "a checkpoint of `stgraph fit`"
    if Path(path).suffix == ".safetensors":
        return {"state_dict": read_safetensors(path, expected, "ckpt_path")[0]}
    checkpoint = read_torch(path, expected, "ckpt_path")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise InputError("ckpt_path", expected, f"{path}, which has no state_dict")
    return checkpoint


_RESUMED: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


def check_resumable(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint has the state of a fit, not weights alone.

    Raises:
        InputError: naming what it lacks.
    """
    if "optimizer_states" not in checkpoint:
        raise InputError("ckpt_path", "the state of a fit", f"{path}, which is weights only")
    wrong = [name for name, kind in _RESUMED.items() if type(checkpoint.get(name)) is not kind]
    if wrong:
        raise InputError(
            "ckpt_path", "the state of a fit", f"{path}, of another {', '.join(wrong)}"
        )


def check_keys(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Check that a state dict is one of this module, by names and shapes.

    Raises:
        InputError: naming what is missing, unexpected, of another shape or no dense tensor.

    Examples:
        >>> check_keys(nn.Linear(2, 3, bias=False), {"weight": torch.zeros(3, 4)})
        Traceback (most recent call last):
        stgraph.checks.InputError: checkpoint: expected the weights of this Linear, got those of
        another model (other shapes: weight [3, 4] for [3, 2])
    """
    if not isinstance(state_dict, Mapping):
        raise InputError("checkpoint", "weights by name", type(state_dict).__name__)
    own = module.state_dict()
    both = [(name, own[name], state_dict[name]) for name in own if name in state_dict]
    faults = {
        "missing": [name for name in own if name not in state_dict],
        "unexpected": [name for name in state_dict if name not in own],
        "other shapes": [
            f"{name} {list(given.shape)} for {list(value.shape)}"
            for name, value, given in both
            if _sizes(given) not in (None, value.shape)
        ],
        "of another kind": [
            f"{name} {told(given)}"
            for name, value, given in both
            if _sizes(given) in (None, value.shape) and not alike(given, value)
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


def _sizes(given: object) -> torch.Size | None:
    return given.shape if isinstance(given, Tensor) and not given.is_nested else None


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
