from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import stgraph

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_the_distribution() -> None:
    assert stgraph.__version__ == importlib.metadata.version("stgraph-video")


def test_importing_the_package_imports_nothing_optional(tmp_path: Path) -> None:
    code = (
        "import sys, stgraph\n"
        "heavy = {'lightning', 'jsonargparse', 'torchmetrics', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("stgraph_video-*-py3-none-any.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "stgraph").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names == package
    assert "stgraph/py.typed" in names


def test_the_sdist_holds_what_the_tests_need(built: Path) -> None:
    (sdist,) = built.glob("stgraph_video-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "constraints.txt"} <= names
    assert {"stgraph/__init__.py", "tests/test_package.py"} <= names
    assert any(name.startswith("configs/") for name in names)
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if name.startswith(".")} <= {".gitignore"}
    assert not top & {"build", "dist", "runs", "shared"}


@pytest.mark.slow
def test_the_wheel_works_where_the_sources_are_not(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import stgraph.model, stgraph.recipes; print(stgraph.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert Path(run.stdout.strip()) == tmp_path / "stgraph" / "__init__.py"
