"""The Python of the page on weights runs as written, on files of random weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from stgraph import backbones, weights
from stgraph.weights import from_pretrained

PAGE = Path(__file__).parents[3] / "docs" / "weights.md"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released, model_weights) -> Path:
    monkeypatch.chdir(tmp_path)
    image = backbones.resnet50().state_dict()
    monkeypatch.setattr(weights, "imagenet_weights", lambda name: image)
    files = {"ckpt.best.pth.tar": released["r345"](), "tsm.pth.tar": model_weights({}, classes=9)}
    for name, state in files.items():
        state = {f"module.{key}": value for key, value in state.items()}
        torch.save({"epoch": 1, "state_dict": state}, name)
    return tmp_path


@pytest.mark.slow
def test_the_page_runs_as_written(here: Path):
    text = PAGE.read_text(encoding="utf-8")
    told: list[str] = []
    names: dict[str, object] = {
        "video": torch.rand(1, 1, 3, 64, 64),
        "print": lambda *parts: told.append(" ".join(map(str, parts))),
    }
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        told.clear()
        exec(compile(block, str(PAGE), "exec"), names)
        assert told == re.findall(r"^# (.*)$", block, re.MULTILINE)
    (config,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert json.loads((here / "my_model" / "config.json").read_text()) == json.loads(config)
    assert from_pretrained(here / "dyreg_r345").recipe.name == "dyreg_tsm_resnet50"
