"""The README's Python runs as written."""

from __future__ import annotations

import re
from pathlib import Path

import torch

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run_as_written():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    shapes = []
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
        shapes.append(tuple(names["graph"].x.shape))
    assert shapes == [(180, 32), (18, 32), (40, 32)]
    assert tuple(names["maps"].shape) == (2, 10, 32, 16, 16)
    assert tuple(names["vector"].shape) == (2, 32)
    features = names["features"]
    assert torch.equal(names["block"](features).features, features)
