"""The configurations that come with the library."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stgraph.cli import main

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
DATA = os.environ.get("STGRAPH_DATA")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_configuration_is_accepted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    assert f"run: {path.stem}\n" in capsys.readouterr().out


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_configuration_fits_resumes_and_tests(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if DATA is None and "mnist" in path.stem:
        pytest.skip("needs MNIST: STGRAPH_DATA is not set")
    monkeypatch.chdir(tmp_path)
    small = ["--data.batch_size=2", "--data.eval_batch_size=2", "--trainer.accelerator=cpu"]
    small += [f"--trainer.limit_{stage}_batches=1" for stage in ("train", "val", "test")]
    small += ["--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
    small.append("--trainer.num_sanity_val_steps=0")
    if "rstg" in path.stem:
        small.append("--model.model.channels=16")
    fit = ["fit", "--config", str(path), *small]
    assert main([*fit, "--trainer.max_epochs=1"]) == 0
    assert main([*fit, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    assert main(["test", "--config", str(path), *small, "--ckpt_path=best"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test: top-1 ")
