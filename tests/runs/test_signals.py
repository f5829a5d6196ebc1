"""Commands in processes of their own that are sent signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.cli import main

Config = Callable[..., str]

PAUSES = '''
import os
import time
from pathlib import Path

from lightning.pytorch import Callback


class Pause(Callback):
    """Says that a place is reached, and stays there a while, or until there is a signal."""

    def __init__(self, step: int = -1, validated: int = -1, seconds: float = 0.5):
        self.step, self.validated, self.seconds = step, validated, seconds

    def pause(self, trainer):
        Path(f"reached_{trainer.global_rank}").write_text(str(os.getpid()))
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(0.02)

    def on_before_optimizer_step(self, trainer, *_):
        if trainer.global_step + 1 == self.step:
            self.pause(trainer)

    def on_validation_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == self.validated and not trainer.sanity_checking:
            self.pause(trainer)

    def on_test_batch_start(self, trainer, *_):
        self.pause(trainer)
'''


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command, and let it be gone afterwards, with all that it started."""
    with subprocess.Popen(
        [sys.executable, "-m", "stgraph", *arguments],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)


def wait_for(file: str, started: subprocess.Popen[str]) -> int:
    """Wait until a file is there; return the number in it."""
    end = time.monotonic() + 120
    while not (Path(file).exists() and Path(file).read_text()):
        assert started.poll() is None, started.stderr and started.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(Path(file).read_text())


@pytest.fixture
def fit(config: Config, tmp_path: Path) -> Callable[..., list[str]]:
    """The options of a small fit that pauses somewhere."""
    (tmp_path / "pauses_of_a_user.py").write_text(PAUSES, encoding="utf-8")

    def options(*places: str, changes: dict[str, Any] | None = None) -> list[str]:
        model = {"class_path": "parts_of_a_user.Tiny", "init_args": {"dropout": 0.5}}
        path = config({"model.model": model, **(changes or {})})
        pause = ["--trainer.callbacks+=pauses_of_a_user.Pause"]
        return ["fit", "--config", path, *pause, *(f"--trainer.callbacks.{p}" for p in places)]

    return options


def last(run: str) -> dict[str, Any]:
    return torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True)


def check_resumed_as_whole() -> None:
    path = "config.yaml"
    assert main(["fit", "--config", path, "--run", "whole"]) == 0
    assert main(["fit", "--config", path, "--ckpt_path", "last"]) == 0
    whole = last("whole")["state_dict"]
    assert all(torch.equal(last("small")["state_dict"][name], whole[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "place"),
    [(signal.SIGTERM, 143, "step=3"), (signal.SIGINT, 130, "validated=2")],
)
def test_a_fit_saves_its_last_step(
    fit: Callable[..., list[str]], number: int, status: int, place: str
) -> None:
    with process(*fit(place)) as started:
        wait_for("reached_0", started)
        started.send_signal(number)
        assert started.wait(timeout=60) == status
        assert started.stderr is not None
        said = started.stderr.read()
    step = 3 if place == "step=3" else 5
    assert f"ended by {signal.Signals(number).name} after step {step}" in said
    assert "Traceback" not in said
    assert last("small")["global_step"] == step
    assert not Path("runs/small/.lock").exists()
    check_resumed_as_whole()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_all_processes_is_the_first_ones(
    fit: Callable[..., list[str]], number: int, status: int
) -> None:
    """As a terminal or a scheduler sends it: workers that load clips have it too."""
    plain = {"class_path": "parts_of_a_user.PlainNoise"}
    changes = {"data.train": plain, "data.val": plain, "data.num_workers": 2}
    with process(*fit("step=3", "seconds=2", changes=changes)) as started:
        wait_for("reached_0", started)
        os.killpg(started.pid, number)
        assert started.wait(timeout=60) == status
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()
    assert last("small")["global_step"] == 3


@pytest.mark.slow
def test_a_second_signal_ends_a_fit_at_once(fit: Callable[..., list[str]]) -> None:
    with process(*fit("step=3", "seconds=600")) as started:
        wait_for("reached_0", started)
        started.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert started.poll() is None
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=30) == 143
    assert not Path("runs/small/checkpoints/last.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_saves_nothing_ends_at_once(
    fit: Callable[..., list[str]], number: int, status: int
) -> None:
    options = fit("seconds=600")
    with process("test", *options[1:]) as started:
        wait_for("reached_0", started)
        started.send_signal(number)
        assert started.wait(timeout=30) == status
        assert started.stderr is not None
        said = started.stderr.read()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == f"stgraph test: ended by {signal.Signals(number).name}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "whom"),
    [
        ("step=3", "first"),
        pytest.param("validated=1", "second", marks=pytest.mark.long),
        ("validated=1", "all"),
    ],
)
def test_processes_end_together(fit: Callable[..., list[str]], place: str, whom: str) -> None:
    """Whichever has the signal: a process, or all, as those of a terminal have."""
    few = {"class_path": "parts_of_a_user.Noise", "init_args": {"clips": 32}}
    options = fit(place, "seconds=2", changes={"data.batch_size": 4, "data.val": few})
    two = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    with process(*options, *two) as started:
        pids = [wait_for(f"reached_{rank}", started) for rank in range(2)]
        assert pids[0] == started.pid
        number = signal.SIGINT if whom == "all" else signal.SIGTERM
        for pid in {"first": pids[:1], "second": pids[1:], "all": pids}[whom]:
            os.kill(pid, number)
        assert started.wait(timeout=60) == 128 + number
    assert last("small")["global_step"] == (3 if place == "step=3" else 5)
    end = time.monotonic() + 10
    while Path(f"/proc/{pids[1]}").exists():  # nobody is left behind
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_slurm_puts_a_job_into_the_queue_again(
    fit: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning saves on SIGUSR1 and asks for it; the same command then goes on."""
    queue = tmp_path / "scontrol"
    queue.write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\n")
    queue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"JOB_ID": "17", "NTASKS": "1", "JOB_NAME": "a", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("LOCALID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    with process(*fit("step=7", "seconds=3")) as started:
        wait_for("reached_0", started)
        started.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 60
        while not Path("asked").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        started.kill()
    assert Path("asked").read_text() == "requeue 17\n"
    assert main(["fit", "--config", "config.yaml"]) == 0
    assert last("small")["global_step"] == 10
