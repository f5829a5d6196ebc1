"""The Python of the README and of the tutorials runs as written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
DOCS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))
TUTORIALS = [page for page in DOCS if page.startswith("docs/tutorials/")]


def python_of(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def run(page: str) -> Iterator[dict[str, object]]:
    """Run the blocks of a page in one namespace, and give it back after each."""
    names: dict[str, object] = {"__name__": "page"}
    for block in python_of(page):
        exec(compile(block, page, "exec"), names)
        yield names


@pytest.mark.parametrize("page", TUTORIALS)
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


def test_the_first_page_shows_examples_of_the_readme():
    blocks = [python_of(page) for page in ("docs/index.md", "README.md")]
    assert blocks[0]
    assert set(blocks[0]) <= set(blocks[1])


@pytest.mark.parametrize("page", ["README.md", *DOCS])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), target
