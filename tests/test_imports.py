"""Imports point one way, rooms do not reach into each other, and the core stays light."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "stgraph"

# What each room may import of stgraph, besides itself. A new room is written down here.
CONTRACT = {"checks", "causality", "fused", "precision", "kernels", "padding", "graph"}
CONTRACT |= {"recurrence"}
PARTS = CONTRACT | {"edges", "nodes", "layers", "schedules", "model", "insertion", "classifiers"}
PARTS |= {"initialise"}
CORE = PARTS | {"backbones", "recipes"}
MAY = {
    "checks": set(),
    "causality": {"checks"},
    "writing": set(),
    "signals": set(),
    "reading": {"checks"},
    "initialise": set(),
    "shares": {"fused"},
    "precision": set(),
    "kernels": {"checks", "precision", "shares"},
    "padding": {"checks"},
    "graph": {"checks", "kernels", "padding"},
    "fused": set(),
    "gru": {"fused", "precision"},
    "recurrence": {"checks", "kernels", "graph", "gru"},
    "edges": CONTRACT,
    "nodes": CONTRACT | {"edges"},  # an extractor takes an edge builder, so it knows the base class
    "layers": CONTRACT,
    "schedules": {"checks"},
    "model": CONTRACT | {"edges", "nodes", "layers"},
    "insertion": {"checks", "causality", "padding"},  # it knows blocks by what they return
    "classifiers": CONTRACT | {"layers", "model", "insertion"},
    # models by what they return, and whether they are CNNs with blocks
    "export": {"checks", "causality", "nodes", "layers", "insertion"},
    "explain": CONTRACT | {"layers", "model"},
    "backbones": {"checks", "causality", "initialise", "padding", "recurrence", "classifiers"},
    "recipes": CORE,
    "weights": CORE | {"reading", "writing", ""},  # it writes down the version
    "official": {"weights"},  # former names
    "pretrained": {"weights"},
    "testing": CONTRACT | {"nodes"},  # laws for tests of parts that users write
    "datasets": CONTRACT | {"reading", "writing"},
    "metrics": CONTRACT,
    "viz": CONTRACT | {"writing"},
    "training": CORE | {"reading", "weights", "datasets", "metrics", "viz", "writing", "signals"},
    "runs": {"checks", "reading", "writing", "datasets", "training"},
    "studies": {"checks", "reading", "writing", "signals", "datasets", "metrics", "training"}
    | {"runs", "viz"},
    "applications": CORE
    | {
        "studies",
        "explain",
        "export",
        "reading",
        "datasets",
        "training",
        "runs",
        "viz",
        "writing",
        "signals",
        "",
    },
    "commands": {"runs", "applications"},
    "cli": {"checks", "signals", "commands", ""},
    "__main__": {"cli"},
    "": CORE,  # stgraph/__init__.py: the public face
}
# Optional packages, and the rooms that may import them when they are imported themselves.
OPTIONAL = {
    "lightning": {"training", "runs", "studies", "applications"},
    "jsonargparse": {"training", "runs", "applications"},
    "torchmetrics": {"training", "metrics"},
    "matplotlib": set(),
    "sklearn": set(),
    "imageio": set(),
    "PIL": set(),
    "av": set(),
    "torch_scatter": set(),
    "torchvision": set(),
    "huggingface_hub": set(),
}


def imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[str, bool, int]]:
    """Yield (dotted name, at module level, line) of each import; ``package`` resolves dots."""
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from stgraph import nodes` may name a room: keep the whole path
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, id(node) not in lazy, node.lineno


def faults(source: str, path: str) -> list[str]:
    """Return what is wrong with the imports of a source at ``path``, relative to the package."""
    parts = path.removesuffix(".py").split("/")
    room = "" if parts == ["__init__"] else parts[0]
    if room not in MAY:
        return [f"{path}: the room {room!r} is not written down in {Path(__file__).name}"]
    found = []
    for name, eager, line in imports(ast.parse(source), ["stgraph", *parts[:-1]]):
        top, *rest = name.split(".")
        where = f"{path}:{line}"
        if eager and top in OPTIONAL and room not in OPTIONAL[top]:
            found.append(f"{where}: {top} is optional: import it inside the function that needs it")
        if top != "stgraph":
            continue
        # `from stgraph import __version__` asks the package itself, not a room
        target = rest[0] if rest and rest[0] in MAY else ""
        if target not in MAY[room] | {room}:
            found.append(f"{where}: {room or 'stgraph'} must not import {name}")
    return found


FILES = sorted(str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_imports_of_the_package_point_one_way(path: str) -> None:
    assert faults((PACKAGE / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("graph.py", "from stgraph.nodes import GridNodes"),
        ("graph.py", "def late():\n    import stgraph.model"),
        ("nodes/grid.py", "from stgraph.layers.space import SpaceLayer"),
        ("nodes/grid.py", "from ..layers import SpaceLayer"),
        ("nodes/grid.py", "from .. import datasets"),
        ("layers/time.py", "from stgraph import nodes"),
        ("recipes/rstg.py", "import stgraph.training"),
        ("checks.py", "from stgraph import SpaceTimeGraph"),
        ("model.py", "import lightning.pytorch as pl"),
        ("viz/report.py", "from matplotlib import pyplot"),
        (
            "datasets/digits/images.py",
            "try:\n    import sklearn\nexcept ImportError:\n    sklearn = None",
        ),
        ("cli.py", "from stgraph.nodes import GridNodes"),
        ("commands/show.py", "import jsonargparse"),
        ("helpers.py", "import torch"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    assert len(faults(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("graph.py", "import torch\nfrom stgraph.checks import shape"),
        ("nodes/grid.py", "from .base import NodeExtractor\nfrom stgraph.edges import FullEdges"),
        ("viz/report.py", "def plot():\n    from matplotlib import pyplot"),
        ("training/module.py", "import lightning\nfrom stgraph import recipes"),
        ("model.py", "if TYPE_CHECKING:\n    import lightning"),
        ("__init__.py", "from stgraph.model import SpaceTimeGraph"),
    ],
)
def test_a_right_import_is_left_alone(path: str, source: str) -> None:
    assert faults(source, path) == []
