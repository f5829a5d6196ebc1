"""What the page shows runs, and beside its files it needs the library no more."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
HAS_ONNX = all(map(importlib.util.find_spec, ("onnxruntime", "onnxscript")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if HAS_ONNX or ("write_onnx(" not in block and "onnxruntime" not in block):
            exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "step.pt2").is_file()
    assert tuple(names["probabilities"].shape) == (2, 11)
    assert tuple(names["logits"].shape)[1] == 11
    assert (tmp_path / "step.onnx").is_file() == HAS_ONNX
