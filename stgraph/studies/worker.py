"""One run of a study, in a process of its own: ``python -m stgraph.studies.worker``.

What is to be done stands in the first line of its input, as JSON. It ends with its input, so that
none is left when whoever started it is killed; and on SIGTERM, as every fit does, once its last
step is saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from stgraph.checks import InputError
from stgraph.reading import read_json
from stgraph.runs.command import Command, callbacks_of
from stgraph.runs.folder import locked
from stgraph.signals import Interrupted, handled
from stgraph.studies.checking import resolved
from stgraph.studies.measuring import Curve, EachClip
from stgraph.studies.plan import ELSEWHERE, FAILED, PLAN, PROGRESS, RESULT, UNFINISHED, trains
from stgraph.studies.result import result_of
from stgraph.viz.about import about_here
from stgraph.writing import write_whole

__all__ = ["main", "work"]


class _Ending:
    """Ends this process with its input: a fit after its step, anything else as SIGTERM does."""

    def __init__(self) -> None:
        self.command: Command | None = None
        """What is being carried out."""

    def watch(self) -> None:
        """Wait for the end of the input."""
        sys.stdin.read()
        leave = getattr(self.command, "_leave", None)
        if leave is None or not leave.ask():
            os.kill(os.getpid(), signal.SIGTERM)


class _Recorded(Command):
    """A run with its curve among the callbacks, where its checkpoints keep it."""

    def __init__(self, arguments: Sequence[str], curve: Curve, ending: _Ending) -> None:
        self.curve = curve
        ending.command = self  # which carries out all of it before it is built
        super().__init__(arguments)

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build the trainer."""
        config = self._get(self.config_init, "trainer")
        config["callbacks"] = [self.curve, *callbacks_of(config["callbacks"])]
        return super().instantiate_trainer(**kwargs)


class _Fit(_Recorded):
    """A fit that knows whether it came to its end."""

    @property
    def over(self) -> bool:
        """Whether the session's time was over before the run was at its end."""
        time = self._leave.time
        return time is not None and (time.over or not self.trainer.global_step)


class _Test(_Recorded):
    """A test that keeps what became of each clip."""

    def __init__(self, arguments: Sequence[str], curve: Curve, ending: _Ending, k: int) -> None:
        self._k = k
        self.figures: dict[str, float] = {}
        super().__init__(arguments, curve, ending)

    def instantiate_classes(self) -> None:
        """Build everything, and one more metric."""
        super().instantiate_classes()
        measures: Any = self.model.measures["test"]
        measures.append(EachClip(self._k))

    def test(self, **arguments: Any) -> None:
        """Test, and keep what was logged."""
        (figures,) = self.trainer.test(**arguments)
        self.figures = {name: float(value) for name, value in figures.items()}


def main() -> int:
    """Do the run that the input says; return the exit status."""
    job = json.loads(sys.stdin.readline())
    ending = _Ending()
    threading.Thread(target=ending.watch, daemon=True).start()
    try:
        with handled():
            return work(job, ending)
    except Interrupted as stop:
        print(stop, flush=True)
        return int(stop.code or 0)
    except InputError as error:
        print(f"error: {error}", flush=True)
        return FAILED
    except Exception:
        traceback.print_exc()
        return FAILED


def work(job: dict[str, Any], ending: _Ending | None = None) -> int:
    """Fit, or go on with it, test, and write the result.

    A run of no steps is tested as it was built.

    Args:
        job: ``own``, the folder of the study's files of the run; its ``configuration``; ``study``,
            ``row``, ``seed``, ``digest``, ``metric``, ``weights`` and ``threads``.
        ending: what is told which command is carried out.

    Returns:
        0 when it is done, :data:`ELSEWHERE` or :data:`UNFINISHED`.
    """
    own = Path(job["own"])
    lock = locked(own, "run", "does", ("",))
    try:
        lock.__enter__()
    except InputError as error:
        print(error, flush=True)
        return ELSEWHERE
    threads = torch.get_num_threads()
    try:
        return _alone(job, own, ending or _Ending())
    finally:
        torch.set_num_threads(threads)  # the process may have other work
        lock.__exit__(None, None, None)


def _alone(job: dict[str, Any], own: Path, ending: _Ending) -> int:
    if (own / RESULT).is_file():
        return 0
    if not (own / PLAN).is_file():
        plan = {name: job[name] for name in ("study", "row", "seed", "digest", "threads")}
        write_whole(own / PLAN, json.dumps(plan, indent=1).encode())
    plan = read_json(own / PLAN, "the plan of a run")
    if plan["digest"] != job["digest"]:  # begun since whoever started this looked
        raise InputError("run", "one of this configuration", f"{own.parent}, of another")
    job = {**job, "threads": plan["threads"]}
    torch.set_num_threads(job["threads"])
    config = own / "run.yaml"  # what `stgraph fit --config` would do the same with
    write_whole(config, yaml.safe_dump(job["configuration"], sort_keys=False).encode())
    curve = Curve(own / PROGRESS)
    quiet = ["--trainer.enable_progress_bar=false"]
    fit = None
    if trains(job["configuration"]):
        resumes = (own.parent / "checkpoints" / "last.ckpt").is_file()
        last = ["--ckpt_path=last"] if resumes else []
        fit = _Fit(["fit", "--config", str(config), *quiet, *last], curve, ending)
        if fit.over:
            return UNFINISHED
    weights = [] if fit is None else [f"--ckpt_path={job['weights']}"]
    words = ["test", "--config", str(config), *quiet, *weights]
    k = 5 if job["metric"] == "top5" else 1
    test = _Test(words, Curve(own / PROGRESS), ending, k)
    result = result_of(
        job,
        configuration=resolved(job["configuration"]),
        curve=curve,
        model=test.model.model,
        figures=test.figures,
        each_clip=test.model.measured["each_clip"],
        about=about_here("stgraph study"),
        device=_device(test),
        steps=0 if fit is None else fit.trainer.global_step,
        shown_first=0 if fit is None else sum(getattr(one, "shown", 0) for one in _callbacks(fit)),
    )
    write_whole(own / RESULT, json.dumps(result, indent=1, allow_nan=False).encode())
    (own / PROGRESS).unlink(missing_ok=True)
    return 0


def _callbacks(command: Command) -> list[Any]:
    trainer: Any = command.trainer
    return list(trainer.callbacks)


def _device(command: Command) -> str:
    device = command.trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    sys.exit(main())
