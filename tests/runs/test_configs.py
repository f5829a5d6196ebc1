"""The configurations that come with the library."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from stgraph import backbones
from stgraph.cli import main
from stgraph.training import model_of_run

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
DATA = os.environ.get("STGRAPH_DATA")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_configuration_is_accepted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    assert f"run: {path.stem}\n" in capsys.readouterr().out


def films(stem: str) -> list[str]:
    """Write the videos that a configuration is about, weights to start from, and what is small."""
    image = pytest.importorskip("PIL.Image")
    network = "resnet18" if stem.startswith("videos") else "resnet50"
    torch.save(getattr(backbones, network)(1000).state_dict(), "weights.pth")
    labels = [f"Moving something {number:03d}" for number in range(174)]
    version = stem[: len("something_v1")].replace("_", "-").replace("g-v", "g-something-v")
    if stem.startswith("videos"):
        folders = [
            f"clips/{s}/{c}/{n}" for s in ("train", "val", "test") for c in "ab" for n in "12"
        ]
    else:
        folders = [f"{version}/20bn-{version}/{number}" for number in range(4)]
        rows = [{"id": str(n), "template": labels[n].replace("some", "[some")} for n in range(4)]
        lines = "\n".join(f"{n};{labels[n]}" for n in range(4))
        numbers = {label: str(number) for number, label in enumerate(labels)}
        files = {"labels.json": json.dumps(numbers), "labels.csv": "\n".join(labels)}
        for split in ("train", "validation"):
            files |= {f"{split}.json": json.dumps(rows), f"{split}.csv": lines}
        Path(version).mkdir()
        for name, content in files.items():
            Path(version, f"{version}-{name}").write_text(content)
    for folder in folders:
        Path(folder).mkdir(parents=True)
        for number in range(1, 5):
            colour = (hash(folder) % 256, 60 * number, 0)
            image.new("RGB", (80, 60), colour).save(f"{folder}/{number:05d}.jpg")
    small = ["--model.model.path=weights.pth", "--data.num_workers=0"]
    if stem.startswith("videos"):
        return [*small, "--model.model.model.num_classes=2"]
    sampler = "EvenFrames" if "rstg" in stem else "Segments"
    for stage in ("train", "val", "test"):
        small.append(f"--data.{stage}.clips.sampler=stgraph.datasets.videos.{sampler}")
        small.append(f"--data.{stage}.clips.sampler.frames=4")
    more = "--model.model.model.width=16" if "rstg" in stem else "--data.test.clips.name=1x1"
    return [*small, more]


# Two minutes, most of them for eleven crops of two clips a video.
LONG = {"something_v1_rstg": pytest.mark.long}


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=LONG.get(path.stem, ()), id=path.stem) for path in CONFIGS]
)
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
    small += ["--trainer.num_sanity_val_steps=0", "--trainer.val_check_interval=1.0"]
    if path.stem.startswith(("videos", "something")):
        small += films(path.stem)
    elif "rstg" in path.stem:
        small.append("--model.model.channels=16")
    elif "light" in path.stem:
        small.append("--trainer.callbacks.clips.init_args.length=256")
    fit = ["fit", "--config", str(path), *small]
    assert main([*fit, "--trainer.max_epochs=1"]) == 0
    assert main([*fit, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    assert main(["test", "--config", str(path), *small, "--ckpt_path=best"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test: top-1 ")


PARTS = """
from stgraph.nodes import NodeExtractor, Regions

class Halves(NodeExtractor):
    def regions(self, features, state=None):
        b, t, _, h, w = features.shape
        kernel = features.new_zeros(b, t, 2, h, w)
        kernel[:, :, 0, :, : w // 2] = 1
        kernel[:, :, 1, :, w // 2 :] = 1
        box = features.new_tensor([[0, 0, 0.5, 1], [0.5, 0, 1, 1]]).expand(b, t, 2, 4)
        return Regions(kernel, box), None
"""


def test_the_extractor_of_a_configuration_can_be_a_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options are those of the README."""
    monkeypatch.chdir(tmp_path)
    Path("my_parts.py").write_text(PARTS)
    config = str(next(path for path in CONFIGS if path.stem == "demo_dyreg"))
    small = ["--data.batch_size=4", "--data.train.length=8", "--data.val.length=4"]
    small += ["--data.test.length=4", "--trainer.accelerator=cpu"]
    small += ["--trainer.num_sanity_val_steps=0", "--trainer.enable_progress_bar=false"]
    small.append("--trainer.log_every_n_steps=1")
    swap = ["--model.model.init_args.nodes", "my_parts.Halves"]
    swap += ["--model.model.init_args.nodes.channels", "32"]
    swap += ["--model.model.init_args.nodes.edges", "stgraph.edges.FullEdges"]
    readme = (CONFIGS[0].parents[1] / "README.md").read_text(encoding="utf-8")
    for option, value in zip(swap[::2], swap[1::2], strict=True):
        assert f"{option} {value}" in readme
    assert main(["fit", "--config", config, *small, *swap]) == 0
    assert "my_parts.Halves" in Path("runs/demo_dyreg/config.yaml").read_text()


@pytest.mark.slow
def test_a_fit_that_failed_at_once_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(next(path for path in CONFIGS if path.stem == "demo_dyreg"))
    small = ["--data.batch_size=4", "--data.train.length=4", "--data.val.length=4"]
    small += ["--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0"]
    small += ["--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
    wrong = ["--model.model.init_args.nodes=stgraph.nodes.GridNodes"]
    wrong += ["--model.model.init_args.nodes.channels=32"]  # without edges
    assert main(["fit", "--config", config, *small, *wrong]) == 2
    assert main(["fit", "--config", config, *small]) == 0


OFFICIAL = """
model:
  scale: stgraph.training.raw
  model:
    class_path: stgraph.training.initialised
    init_args:
      how: glorot
      model:
        class_path: stgraph.recipes.rstg_sync_mnist
        init_args:
          num_classes: 11
          channels: 32
          edges: {class_path: stgraph.edges.FullEdges, init_args: {loops: false}}
"""


@pytest.mark.slow
def test_a_configuration_says_how_weights_are_drawn_and_who_is_a_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("official.yaml").write_text(OFFICIAL)
    config = str(next(path for path in CONFIGS if path.stem == "demo_dyreg"))
    small = ["--data.batch_size=4", "--data.train.length=4", "--data.val.length=4"]
    small += ["--trainer.accelerator=cpu", "--trainer.num_sanity_val_steps=0"]
    small += ["--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
    small += ["--run=other", "--trainer.max_epochs=1"]
    assert main(["fit", "--config", config, "--config", "official.yaml", *small]) == 0
    model = model_of_run("runs/other", "last")
    assert model.recipe.arguments["edges"].arguments == {"loops": False}
    spread = model.net.layers["time"].cell.weight_hh_l0.std().item()
    assert spread == pytest.approx((2 / 64) ** 0.5, rel=0.1)  # Glorot's; PyTorch's is .102
