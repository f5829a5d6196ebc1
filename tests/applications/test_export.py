"""``stgraph export``: from a run's folder to a file that is compared with its model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stgraph import recipes
from stgraph.applications import export
from stgraph.applications.trained import trained
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.export.files import ABOUT
from stgraph.training import ClassificationModule

DIGITS = {
    "class_path": "stgraph.datasets.SyncMNIST",
    "init_args": {
        "digits": {"class_path": "stgraph.datasets.sklearn_digits"},
        **{"num_digits": 3, "num_classes": 5, "frames": 3, "canvas": 32, "size": 32, "length": 8},
    },
}


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Path]:
    """A run's folder: a configuration and a checkpoint of weights that nobody has trained."""

    def write(recipe: str = "dyreg_small", **options: Any) -> Path:
        torch.manual_seed(0)
        folder = tmp_path / "run"
        (folder / "checkpoints").mkdir(parents=True)
        model = {"class_path": f"stgraph.recipes.{recipe}", "init_args": options}
        data = {"class_path": "stgraph.training.ClipData", "init_args": {"test": DIGITS}}
        described = {"model": {"model": model}, "data": data}
        (folder / "config.yaml").write_text(yaml.safe_dump(described))
        module = ClassificationModule(getattr(recipes, recipe)(**options))
        saved = {"state_dict": module.state_dict(), "pytorch-lightning_version": "2.6.0"}
        torch.save(saved, folder / "checkpoints" / "best.ckpt")
        return folder

    return write


def test_a_run_becomes_a_file(
    run_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = run_of("frames_small", num_classes=5), tmp_path / "made" / "model.pt2"
    assert main(["export", "--ckpt", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "uint8 video [clips, 3, 1, 32, 32] to logits\n" in printed
    assert "logits differ by at most " in printed
    assert printed.endswith(f"wrote {out}\n")
    words = {ABOUT: ""}
    run = torch.export.load(out, extra_files=words).module()
    one = trained(folder)
    video = torch.randint(0, 256, (4, *one.clip_size), dtype=torch.uint8)
    with torch.no_grad():
        expected = one.module(video).logits
    torch.testing.assert_close(run(video), expected, rtol=1e-4, atol=1e-5)
    about = json.loads(words[ABOUT])
    assert about["classes"] == list(one.label_names)
    assert about["colours"].startswith("grey")
    assert about["streaming"] is False
    assert [file.name for file in out.parent.iterdir()] == ["model.pt2"]


@pytest.mark.slow
def test_options_of_an_export_reach_the_model(
    run_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = run_of("frames_small", num_classes=5), tmp_path / "model.pt2"
    moved = tmp_path / "other.yaml"
    (folder / "config.yaml").rename(moved)
    words = ["--config", str(moved), "--frames", "5", "--size", "48"]
    assert main(["export", "--ckpt", str(folder), "--out", str(out), *words]) == 0
    assert "uint8 video [clips, 5, 1, 48, 48] to logits\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_becomes_a_step(
    run_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = run_of(), tmp_path / "step.pt2"
    words = ["--streaming", "true", "--piece", "2", "--size", "48"]
    assert main(["export", "--ckpt", str(folder), "--out", str(out), *words]) == 0
    told = capsys.readouterr().out
    assert "video [clips, 2, 1, 48, 48] to logits, with 5 tensors of state" in told


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_a_run_becomes_an_onnx_file(run_of: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    folder, out = run_of(), tmp_path / "model.onnx"
    export.run(str(folder), str(out))
    one = trained(folder)
    video = torch.randint(0, 256, (2, *one.clip_size), dtype=torch.uint8)
    (logits,) = runtime.InferenceSession(str(out)).run(None, {"video": video.numpy()})
    with torch.no_grad():
        expected = one.module(video).logits
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "model.pt"], "suffix of out: expected one of 'pt2', 'onnx', got 'pt'"),
        (["--out", "model.pt2", "--piece", "2"], "piece: expected 1, without --streaming"),
        (
            ["--out", "model.pt2", "--streaming", "true", "--frames", "4"],
            "frames: expected none, with --streaming",
        ),
        (
            ["--out", "model.pt2", "--streaming", "true"],
            "model: expected a causal one, to go on from a state, got",
        ),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_left(
    run_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    folder = run_of("i3d_sync_mnist", num_classes=5)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--ckpt", str(folder), *options]) == 2
    said = capsys.readouterr().err
    assert f"stgraph export: error: {told}" in said
    assert len(said.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(
    run_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "difference", lambda *_: float("nan"))
    with pytest.raises(InputError, match=r"model: expected logits of the file within 0.001"):
        export.run(str(run_of("frames_small", num_classes=5)), str(tmp_path / "model.pt2"))
    assert not (tmp_path / "model.pt2").exists()


def test_a_missing_package_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "--ckpt", "nowhere", "--out", str(tmp_path / "model.onnx")]) == 2
    assert "needs onnx; pip install 'stgraph-video[export]'" in capsys.readouterr().err


def test_a_place_that_is_no_file_is_refused_first(tmp_path, capsys):
    (tmp_path / "a.pt2").mkdir()
    (tmp_path / "file").touch()
    for out in (tmp_path / "a.pt2", tmp_path / "file" / "b.pt2"):
        assert main(["export", "--ckpt", "nowhere.ckpt", "--out", str(out)]) == 2
        assert "out: expected a file in a folder" in capsys.readouterr().err
