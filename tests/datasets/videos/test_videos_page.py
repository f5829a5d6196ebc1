"""docs/videos.md runs as it stands there: its commands, its table and its program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stgraph import backbones
from stgraph.cli import main
from stgraph.datasets.videos import VideoClips, VideoManifest, open_video

pytest.importorskip("av")
pytest.importorskip("PIL.Image")

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "videos.md").read_text(encoding="utf-8")
BLOCKS = [(kind, text) for kind, text in re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)]
PLACES, TABLE = (text for kind, text in BLOCKS if kind == "")
COMMANDS, SMALL = (text.replace("\\\n", "") for kind, text in BLOCKS if kind == "console")


@pytest.fixture
def clips(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    video_file: Callable[..., Path],
    frame_folder: Callable[..., Path],
) -> Path:
    """The files that the page is about, where its reader is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name in PLACES.split():
        if name.endswith(".jpg"):
            frame_folder(tmp_path / Path(name).parent, 6)
        else:
            codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
            video_file(tmp_path / name, 12, codec=codec)
    for name in ("clips/val/push/y.mp4", "clips/test/push/z.mp4", "clips/test/wave/z.mp4"):
        video_file(tmp_path / name, 12)
    torch.save(backbones.resnet18(1000).state_dict(), "resnet18.pth")
    return tmp_path


@pytest.mark.slow
def test_the_commands_run(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what the page says for a machine without a GPU, in one epoch."""
    fit, test = (shlex.split(line)[1:] for line in COMMANDS.splitlines())
    small = [*shlex.split(SMALL), *shlex.split("--model.model.path resnet18.pth")]
    assert "`--model.model.path resnet18.pth`" in PAGE
    (place,) = re.findall(r"`(--model\.model\.model\.places '.*?')`", PAGE)
    here = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data.num_workers=0"]
    here += ["--trainer.enable_progress_bar=false"]
    assert main([*fit, *small, *shlex.split(place), *here]) == 0
    described = yaml.safe_load(Path("runs/videos_dyreg/config.yaml").read_text())
    sampler = described["data"]["init_args"]["test"]["init_args"]["clips"]["init_args"]["sampler"]
    assert sampler["init_args"]["frames"] == 4
    assert main([*test]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test: top-1 ")


def test_the_table_is_read(clips: Path, video_file: Callable[..., Path]) -> None:
    video_file(clips / "kitchen.mp4", 150)
    Path("clips.csv").write_text(TABLE)
    (described,) = (yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml")
    part: dict[str, Any] = described["data"]["train"]
    assert part["class_path"].endswith("VideoManifest")
    assert part["init_args"]["clips"]["class_path"].endswith("TrainClips")
    data = VideoManifest(part["init_args"]["path"], part["init_args"]["split"])
    assert data.label_names == ["pour", "stir"]
    assert [entry.known_as for entry in data.entries] == ["kitchen.mp4"] * 2
    assert [data[number]["label"] for number in range(2)] == [0, 1]


def test_the_program_runs(clips: Path) -> None:
    (program,) = (text for kind, text in BLOCKS if kind == "python")
    names: dict[str, Any] = {}
    exec(compile(program.replace("num_workers=2", "num_workers=0"), "videos.md", "exec"), names)
    batch = next(iter(names["loader"]))
    assert batch["video"].shape[2:] == (3, 224, 224)
    assert open_video(clips / "clips/train/push/a.mp4").read([0, 5, 5]).shape[0] == 3
    assert isinstance(names["clips"], VideoClips)
