"""The runs of a study: what each is, and how far it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from stgraph.checks import InputError
from stgraph.reading import read_json, read_yaml
from stgraph.runs.folder import run_folder
from stgraph.studies.file import Row, Study
from stgraph.studies.merging import changed, value_at

__all__ = ["Run", "configuration", "digest", "read_result", "set_aside", "state", "trains"]

RESULT, PLAN, LOG, PROGRESS = "result.json", "plan.json", "log.txt", "progress"
ELSEWHERE, UNFINISHED, FAILED = 75, 76, 1
"""Exit statuses of what does a run: another process does it; its time was over; an error."""
LARGEST = 1 << 26
"""Bytes of a result, with an answer for each clip."""


@dataclass(frozen=True)
class Run:
    """A row and a seed.

    Args:
        study: name of the study.
        row: which.
        seed: which.
        runs: the folder of all runs.
        configuration: of ``stgraph fit``, all of it.
        digest: of all that its result depends on.
    """

    study: str
    row: Row
    seed: int
    runs: str
    configuration: Mapping[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """Its name among all runs, as ``--run`` has it."""
        return f"{self.study}/{self.row.folder}/seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where it leaves what it makes."""
        return run_folder(self.runs, self.name)

    @property
    def own(self) -> Path:
        """Where the study leaves what it makes of it."""
        return self.folder / "study"

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"


def configuration(study: Study, row: Row, seed: int, runs: str) -> dict[str, Any]:
    """Return the configuration of a run, as ``stgraph fit --config`` takes it.

    Raises:
        InputError: when its base is no configuration, or changes do not fit it.
    """
    base = study.base if row.base is None else row.base
    made = read_yaml(base or "", "a configuration, in YAML", "base")
    if not isinstance(made, dict):
        raise InputError("base", "a configuration, in YAML", f"{base}, which has no names")
    made.pop("ckpt_path", None)
    for changes in (study.changes, row.changes):
        made = changed(made, changes)
    if study.held_out.data is not None:
        made = changed(changed(made, {"data.test": None}), {"data.test": study.held_out.data})
    made = changed(made, dict.fromkeys(study.seeded, seed))
    name = f"{study.name}/{row.folder}/seed{seed}"
    return {**made, "seed_everything": seed, "runs": runs, "run": name}


def trains(configuration: Mapping[str, Any]) -> bool:
    """Whether a run is trained at all: one of 0 epochs or 0 steps is tested as it was built."""
    return 0 not in [value_at(configuration, f"trainer.max_{of}") for of in ("epochs", "steps")]


def digest(study: Study, resolved: Mapping[str, Any], seed: int) -> str:
    """Return a number of all that a run's result depends on but the code and the machine.

    Args:
        study: the study.
        resolved: the configuration with every default, of any seed.
        seed: of the run.
    """
    whole = changed(resolved, dict.fromkeys(study.seeded))
    kept = {name: value for name, value in whole.items() if name not in _NOT_THE_RUN}
    said = [kept, seed, list(study.seeded), study.metric, study.weights]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


_NOT_THE_RUN = ("seed_everything", "run", "runs", "ckpt_path", "keep_minutes")


def state(run: Run) -> str:
    """Tell whether a run is ``done``, ``begun`` or ``absent``.

    Raises:
        InputError: when what lies there is another configuration's, or of nobody.
    """
    for name, found in ((RESULT, "done"), (PLAN, "begun")):
        path = run.own / name
        if path.is_file():
            told = read_json(path, "a result of a study", most=LARGEST)
            if not isinstance(told, dict) or told.get("digest") != run.digest:
                expected = "runs of this study file (`--changed anew` sets the others aside)"
                came = f"{run.folder}, begun with another configuration"
                raise InputError("file", expected, came)
            return found
    if (run.folder / "checkpoints").exists():
        raise InputError("runs", "a folder of this study's runs", f"another run, {run.folder}")
    return "absent"


def set_aside(run: Run) -> Path | None:
    """Rename the folder of a run of another configuration; return its new name, if there is one."""
    try:
        state(run)
    except InputError:
        number = 1
        while (new := run.folder.with_name(f"{run.folder.name}.old{number}")).exists():
            number += 1
        return Path(shutil.move(run.folder, new))
    return None


def read_result(run: Run) -> dict[str, Any] | None:
    """Return what a run reached; none where it is not done."""
    path = run.own / RESULT
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path, "a result of a study", most=LARGEST)
    return found
