"""The state of metrics and of logged values, in plain values.

Lightning keeps what a module logs in a collection of results, one for each name and hook, and
resets it after the epoch. Metrics of torchmetrics lie in the module and are in its state dict only
where they ask for it.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import (
    _Metadata,
    _ResultMetric,
    _Sync,
)
from torch import Tensor
from torchmetrics import Metric

__all__ = ["dump_metrics", "dump_results", "load_metrics", "load_results"]

_REDUCTIONS: dict[str, Any] = {
    **{name: getattr(torch, name) for name in ("mean", "max", "min", "sum")},
    "builtin max": max,
    "builtin min": min,
    "builtin sum": sum,
}
_META = (
    "fx",
    "name",
    "prog_bar",
    "logger",
    "on_step",
    "on_epoch",
    "enable_graph",
    "add_dataloader_idx",
    "dataloader_idx",
    "metric_attribute",
)
_ACCUMULATED = ("value", "cumulated_batch_size")


def dump_metrics(trainer: Any, module: LightningModule, ended: bool) -> dict[str, Any]:
    """Return the states of a module's metrics in training.

    Args:
        trainer: which knows what is logged when; metrics of validations are reset after each.
        module: which has the metrics.
        ended: that the epoch is over, after which those that are logged are reset as well.

    Returns:
        By name: how often it was updated, and its state.
    """
    loop = trainer.fit_loop.epoch_loop
    collections = [loop.val_loop._results, *([loop._results] if ended else [])]
    reset = {id(one.value) for results in collections for one in results.values()}
    return {
        name: {
            "count": metric._update_count,
            "state": {key: _kept(getattr(metric, key)) for key in metric._defaults},
        }
        for name, metric in module.named_modules()
        if isinstance(metric, Metric) and metric._update_count and id(metric) not in reset
    }


def load_metrics(module: LightningModule, kept: dict[str, Any]) -> None:
    """Give a module's metrics the states that they had; of others nothing is known."""
    for name, metric in module.named_modules():
        if isinstance(metric, Metric) and name in kept:
            for key, value in kept[name]["state"].items():
                if type(value) is not type(metric._defaults[key]):
                    raise ValueError(f"{name}.{key}: {type(value).__name__}")
                setattr(metric, key, _moved(value, metric.device))
            metric._update_count, metric._computed = kept[name]["count"], None


def dump_results(trainer: Any) -> list[dict[str, Any]]:
    """Return what training has logged in this epoch: how, and what is accumulated of it."""
    found = []
    for key, one in trainer.fit_loop.epoch_loop._results.items():
        meta, sync = one.meta, one.meta.sync
        names = [name for name, function in _REDUCTIONS.items() if function is meta.reduce_fx]
        if sync.group is not None or not names:
            continue  # of a kind that no file can name: it begins anew
        accumulated = [name for name in _ACCUMULATED if one.is_tensor and hasattr(one, name)]
        found.append(
            {
                "key": key,
                "meta": {name: getattr(meta, name) for name in _META},
                "reduce": names[0],
                "sync": [sync.should, sync.rank_zero_only, sync.op],
                "state": {name: _kept(getattr(one, name)) for name in accumulated},
                "reset": one.has_reset,
            }
        )
    return found


def load_results(trainer: Trainer, module: LightningModule, kept: list[dict[str, Any]]) -> None:
    """Let training go on with what it had logged."""
    results: Any = trainer.fit_loop.epoch_loop._results
    for entry in kept:
        should, rank_zero_only, op = entry["sync"]
        meta = _Metadata(**entry["meta"], reduce_fx=_REDUCTIONS[entry["reduce"]])
        meta.sync = _Sync(trainer.strategy.reduce, should, rank_zero_only, op)
        state = entry["state"]
        one = results[entry["key"]] = _ResultMetric(meta, is_tensor=bool(state))
        if not state:
            one.value = module.get_submodule(str(meta.metric_attribute))
        for name, value in state.items():
            if name not in _ACCUMULATED or not isinstance(value, Tensor) or value.numel() != 1:
                raise ValueError(f"{entry['key']}.{name}: {type(value).__name__}")
            setattr(one, name, _moved(value, trainer.strategy.root_device))
        one._update_count, one.has_reset = 1, entry["reset"]


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(part) for part in value]
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_moved(part, device) for part in value]
    return value.to(device) if isinstance(value, Tensor) else value
