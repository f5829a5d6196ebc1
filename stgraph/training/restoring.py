"""Checkpoints are restored as a whole, or the one that does not fit is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer, __version__  # type: ignore[attr-defined]
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from torch import Tensor

from stgraph.checks import InputError
from stgraph.reading import reason

__all__ = ["Restoring", "first_step", "told"]

_LARGEST = 1 << 53  # of what is counted
_LOOPS = {name: f"{name}_loop" for name in ("fit", "validate", "test", "predict")}
_ORDER = ("ready", "started", "processed", "completed")  # each at most as often as the one before


@contextmanager
def told(path: object) -> Iterator[None]:
    """Tell whatever goes wrong with the state that a checkpoint has.

    Raises:
        InputError: when an exception of any kind is raised within.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # what a file says may be anything
        came = f"{path}, whose state does not load ({reason(error)})"
        raise InputError("ckpt_path", "a checkpoint of this run", came) from error


class Restoring(_CheckpointConnector):
    """What restores a checkpoint in Lightning's trainer, with a look at the state first.

    (Lightning takes what a file says: it leaves out what is not there, and what is of another kind
    fails later, anywhere, or counts.)

    Args:
        trainer: which restores with it from now on.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        trainer._checkpoint_connector = self

    def _restore_modules_and_callbacks(self, *args: Any, **kwargs: Any) -> None:
        with told(args[0] if args else kwargs.get("checkpoint_path")):
            super()._restore_modules_and_callbacks(*args, **kwargs)

    def restore_callbacks(self) -> None:
        """Restore callbacks; of the states of others' callbacks nothing is known."""
        trainer: Any = self.trainer
        for callback in trainer.callbacks if self._loaded_checkpoint else ():
            state = self._loaded_checkpoint.get("callbacks", {}).get(callback.state_key)
            if state and type(callback).__module__.startswith(("lightning.", "stgraph.")):
                _check_alike(callback.state_key, state, callback.state_dict())
        super().restore_callbacks()

    def restore_training_state(self) -> None:
        """Restore loops, optimisers and schedules."""
        with told(self._ckpt_path):
            super().restore_training_state()

    def restore_loops(self) -> None:
        """Restore how far the loop is that runs: of a fit, of a test."""
        loops = self._loaded_checkpoint.get("loops")
        if loops is not None:
            name = _LOOPS[str(self.trainer.state.fn.value)]  # type: ignore[union-attr]
            own = getattr(self.trainer, name).state_dict()
            own.pop("state_dict")  # of loaders, which check theirs
            all_of_it = self._loaded_checkpoint["pytorch-lightning_version"] == __version__
            _check_counts(name, loops[name], own, all_of_it)
            _check_kind(f"{name}.state_dict", loops[name].get("state_dict", {}), dict)
        super().restore_loops()

    def restore_optimizers(self) -> None:
        """Restore optimisers, each of them."""
        optimizers = self.trainer.strategy.optimizers
        self._check_number("optimizer_states", len(optimizers))
        states = self._loaded_checkpoint.get("optimizer_states", ())
        for optimizer, state in zip(optimizers, states, strict=False):
            own = {"param_groups": optimizer.state_dict()["param_groups"], "state": {}}
            _check_alike("optimizer_states", state, own, all_of_it=True)
        super().restore_optimizers()

    def restore_lr_schedulers(self) -> None:
        """Restore schedules, each of them."""
        configs = self.trainer.lr_scheduler_configs
        self._check_number("lr_schedulers", len(configs))
        states = self._loaded_checkpoint.get("lr_schedulers", ())
        for config, state in zip(configs, states, strict=False):
            _check_kind("lr_schedulers", state, Mapping)
            own = config.scheduler.state_dict().items()
            # another version of torch may have written fewer
            known = {key: mine for key, mine in own if key in state or key == "last_epoch"}
            _check_alike("lr_schedulers", state, known, all_of_it=True)
        super().restore_lr_schedulers()

    def _check_number(self, name: str, number: int) -> None:
        if self._loaded_checkpoint and len(self._loaded_checkpoint[name]) != number:
            raise ValueError(f"{len(self._loaded_checkpoint[name])} {name} for {number}")


def _check_counts(name: str, state: Any, own: Any, all_of_it: bool) -> None:
    """Check that a state of a loop has the counters and flags of this one.

    Another version of Lightning may have fewer of them; what it has more is left out.

    Raises:
        ValueError: naming what is another's.
    """
    if isinstance(own, Mapping):
        _check_kind(name, state, dict)
        more = state.keys() - own.keys() if "progress" in name else set()
        if all_of_it and (differ := (own.keys() - state.keys()) | more):
            raise ValueError(f"{name}: {sorted(differ, key=str)}")
        for key in more:
            del state[key]
        for key in own.keys() & state.keys():
            _check_counts(f"{name}.{key}", state[key], own[key], all_of_it)
        counts = [state[key] for key in _ORDER if key in state and key in own]
        if counts and "progress" in name and counts != sorted(counts, reverse=True):
            raise ValueError(f"{name}: {counts}")
    elif type(own) in (bool, int):
        _check_kind(name, state, type(own))
        if not 0 <= state < _LARGEST:
            raise ValueError(f"{name}: {state}")


def _check_alike(name: str, state: Any, own: Any, all_of_it: bool = False) -> None:
    """Check that a state has values of the kinds that this one has before its first step.

    Raises:
        ValueError: naming what is of another.
    """
    if isinstance(own, Mapping):
        _check_kind(name, state, Mapping)
        for key, mine in own.items():
            if key in state:
                _check_alike(f"{name}.{key}", state[key], mine)
            elif all_of_it:
                raise ValueError(f"no {name}.{key}")
    elif isinstance(own, (list, tuple)):
        _check_kind(name, state, (list, tuple))
        for one, mine in zip(state, own, strict=False):
            _check_alike(name, one, mine)
    elif _is_number(own):
        if not _is_number(state):
            raise ValueError(f"{name}: {type(state).__name__}, which is no number")
    elif own is not None:
        _check_kind(name, state, type(own))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)


def _check_kind(name: str, value: object, kind: Any) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name}: {type(value).__name__}")


def first_step(path: object, step: Callable[..., Any], closure: Callable[[], Any]) -> Any:
    """Make the first step of an optimiser with a state from a checkpoint.

    What its state holds is the optimiser's alone, so whether it fits is found out by a step.

    Args:
        path: of the checkpoint.
        step: of the optimiser; called with a closure.
        closure: from which the gradients are; what fails in it is not the state's fault.

    Returns:
        What ``step`` returns.

    Raises:
        InputError: when anything but the closure fails.
    """
    failed: list[Exception] = []

    def gradients() -> Any:
        try:
            return closure()
        except Exception as error:
            failed.append(error)
            raise

    try:
        with told(path):
            return step(gradients)
    except InputError:
        if failed:
            raise failed[0] from None
        raise
