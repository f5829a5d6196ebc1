"""The Python of the README and of the tutorials runs as written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/tutorials/*.md"))]


def run(page: str) -> Iterator[dict[str, object]]:
    """Run the blocks of a page in one namespace, and give it back after each."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
        yield names


@pytest.mark.parametrize("page", PAGES[1:])
def test_the_tutorials_run_as_written(page):
    assert len(list(run(page))) > 5


def test_the_examples_run_as_written():
    shapes = []
    for names in run("README.md"):
        shapes.append(tuple(names["graph"].x.shape))
    assert shapes == [(180, 32), (18, 32), (40, 32), (180, 16)]
    assert tuple(names["maps"].shape) == (2, 10, 32, 16, 16)
    assert tuple(names["vector"].shape) == (2, 32)
    features = names["features"]
    assert torch.equal(names["block"](features).features, features)
    clips = torch.rand(2, 10, 3, 64, 64)
    plain = names["cnn"](clips.flatten(0, 1)).unflatten(0, (2, 10))
    assert torch.equal(names["net"](clips).output, plain)


def test_a_graph_in_a_cnn_takes_ten_lines():
    page = (ROOT / "docs/tutorials/insert.md").read_text("utf-8")
    (block,) = re.findall(r"The ten lines:\n\n```python\n(.*?)```", page, re.DOTALL)
    ast.parse(block)
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 10


@pytest.mark.parametrize("page", [*PAGES, "docs/index.md", "docs/architecture.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), target
