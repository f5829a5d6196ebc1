"""The reference: docstrings become Markdown, and every public name has its place."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import stgraph

ROOT = Path(__file__).parent.parent
FOREIGN = re.compile(r"\.\. \w+::|:(math|attr|class|data|func|meth|mod|ref):`|={3}  ={3}|::$", re.M)
ROOMS = sorted(
    f"stgraph.{room.name}"
    for room in pkgutil.iter_modules(stgraph.__path__)
    if room.name not in ("__main__", "cli", "commands", "official", "pretrained")
)
# What a browser fetches by itself, unlike the target of a link.
FETCHED = re.compile(
    r'<(?:script|img|iframe|link(?! rel="canonical"))\b[^>]*?\b(?:src|href)="([^"]+)"'
)
ALIGNED = r"""
  $$
  \begin{aligned}
  a &= b \\
  c &= d
  \end{aligned}
  $$
"""
TABLE = r"""| k | v |
| --- | --- |
| 1 | a\|b c |
| 2 |  |"""


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    """The module that turns docstrings into Markdown."""
    return load("docstrings")


def load(name: str) -> ModuleType:
    """A module of the folder of pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See :class:`Known` and :meth:`other`.", "See [`Known`][a.Known] and `other`."),
        ("See :class:`~a.Known`, :mod:`~a.b`.", "See [`Known`][full], `b`."),
        ("Frame :math:`b_i T + t_i`.", r"Frame \(b_i T + t_i\)."),
        ("Frame :math:`a_i\n+ b`.", "Frame \\(a_i\n+ b\\)."),
        ("One\n\n.. math:: a_i = b_i,\n    c\n\nTwo", "One\n\n\n$$\na_i = b_i,\nc\n$$\n\nTwo"),
        (".. math::\n    a\n\n    b\n\nEnd", "\n$$\na\n$$\n\n$$\nb\n$$\n\nEnd"),
        ("  .. math::\n      a &= b \\\\\n      c &= d\n", ALIGNED),
        ("As::\n\n    x = 1\n      y\n\nEnd", "As:\n\n```\nx = 1\n  y\n```\n\nEnd"),
        ("==  ===\nk   v\n==  ===\n1   a|b\n    c\n2\n==  ===\n", TABLE),
        ("===  ==\n1    a\n===  ==\n\nEnd", "|  |  |\n| --- | --- |\n| 1 | a |\n\nEnd"),
        ("Args:\n    x: one, ``[B, T]``.", "Args:\n    x: one, ``[B, T]``."),
    ],
)
def test_what_becomes_of_a_docstring(docstrings, text, expected):
    paths = {"Known": "a.Known", "a.Known": "full"}
    assert docstrings.to_markdown(text, paths.get) == expected


def texts() -> Iterator[str]:
    """Every docstring of the package: of modules, classes, functions and fields."""
    for path in sorted(ROOT.glob("stgraph/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield text


def test_nothing_is_left_of_restructured_text(docstrings):
    found = list(texts())
    assert any(FOREIGN.search(text) for text in found)
    left = [text for text in found if FOREIGN.search(docstrings.to_markdown(text))]
    assert left == []


def test_formulas_become_mathml():
    pytest.importorskip("latex2mathml")
    to_mathml = load("formulas").to_mathml
    inline = to_mathml(r'<p><span class="arithmatex">\(a_i &lt; \sum_j b\)</span></p>')
    assert inline.startswith('<p><span class="formula"><math ')
    assert "<mo>&#x0003C;</mo>" in inline
    block = to_mathml('<div class="arithmatex">\\[\na\n\\]</div>')
    assert 'display="block"' in block
    assert "\\" not in inline + block
    for wrong in (r"\left( a", r"\foo"):
        with pytest.raises(ValueError, match="not understood: " + re.escape(wrong)):
            to_mathml(rf'<span class="arithmatex">\({wrong}\)</span>')
    with pytest.raises(ValueError, match="left as it stood"):
        to_mathml('<span class="arithmatex">a</span>')


def test_every_room_has_a_page():
    pages = [path.read_text("utf-8") for path in ROOT.glob("docs/reference/*.md")]
    shown = re.findall(r"^::: (\S+)$", "\n".join(pages), re.M)
    assert [room for room in ROOMS if shown.count(room) != 1] == []


@pytest.mark.slow
def test_the_site_has_every_public_name(tmp_path):
    for needed in ("mkdocs", "material", "mkdocstrings", "griffe", "latex2mathml"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    html = "\n".join(path.read_text("utf-8") for path in tmp_path.glob("reference/**/*.html"))
    shown = set(re.findall(r'\bid="(stgraph[^"]*)"', html))
    names = [(room, name) for room in ROOMS for name in importlib.import_module(room).__all__]
    assert [
        f"{room}.{name}"
        for room, name in names
        if not shown & {f"{room}.{name}", f"{room}.{name}.{name}"}  # in a file of the same name
    ] == []
    assert not re.search(r"\.\. math|:(math|class|func|meth):", html)
    assert "arithmatex" not in html
    assert '<span class="formula"><math ' in html
    assert '<div class="formula"><math ' in html
    fetched = [
        link
        for page in tmp_path.glob("**/*.html")
        for link in FETCHED.findall(page.read_text("utf-8"))
    ]
    assert fetched
    assert [link for link in fetched if "//" in link] == []
    sheets = "".join(sheet.read_text("utf-8") for sheet in tmp_path.glob("**/*.css"))
    assert re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//[^)'\"]*", sheets) == []
    assert 'href="../nodes/#stgraph.nodes.GridNodes"' in html
