"""Vectors of the official code, and the plain forward pass."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor


class Vectors(NamedTuple):
    """One file of vectors; all arrays in double."""

    config: dict[str, Any]
    arrays: dict[str, Tensor]
    """``input``, ``adjacency``, ``probe``, ``after:…``"""
    weights: dict[str, Tensor]
    out: dict[str, Tensor]
    grad: dict[str, Tensor]

    @property
    def scope(self) -> str:
        return "whole_graph_model_final" if self.config["e2e"] else "whole_graph_model_x"


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"of_rstg_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    return module_at(Path(__file__).with_name("plain.py"))


@pytest.fixture(scope="session")
def outputs() -> ModuleType:
    return module_at(Path(__file__).with_name("outputs.py"))


@pytest.fixture(scope="session")
def random_weights() -> ModuleType:
    return module_at(Path(__file__).with_name("random_weights.py"))


@pytest.fixture(scope="session")
def vector_folder(data_root: Path) -> Path:
    folder = data_root.parent / "fixtures" / "rstg"
    if not folder.is_dir():
        pytest.skip("no vectors of the official RSTG code beside the data: fixtures/rstg")
    return folder


@pytest.fixture(scope="session")
def vectors(vector_folder: Path) -> Callable[[str], Vectors]:
    def read(name: str) -> Vectors:
        parts: dict[str, dict[str, Tensor]] = {"": {}, "w": {}, "out": {}, "grad": {}}
        with np.load(vector_folder / f"{name}.npz", allow_pickle=False) as file:
            config = json.loads(str(file["config"])) if "config" in file else {}
            for key in file.files:
                kind, _, rest = key.partition(":")
                if key != "config":
                    known = kind in parts and rest
                    value = torch.tensor(file[key], dtype=torch.float64)
                    parts[kind if known else ""][rest if known else key] = value
        return Vectors(config, parts[""], parts["w"], parts["out"], parts["grad"])

    return read


@pytest.fixture(scope="session")
def c2d_vectors(vector_folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """Configuration, arrays and weights (single, as the official code ran) of the whole C2D."""
    weights_of = module_at(vector_folder / "weights_of.py").weights_of
    with np.load(vector_folder / "e2e_c2d_final.npz", allow_pickle=False) as file:
        config, shapes = json.loads(str(file["econfig"])), json.loads(str(file["shapes"]))
        names = ("input", "adjacency", "out:logits", "out:nodes_final")
        arrays = {name: torch.tensor(file[name]) for name in names}
    made = {name: weights_of(name, sizes) for name, sizes in shapes.items()}
    weights = {name: torch.tensor(value) for name, value in made.items() if value is not None}
    return config, arrays, weights


GRAPHS = (
    "mnist_positional",
    "mnist_positional_train",
    "mnist_scalewise",
    "smt_final_vec",
    "smt_full_map",
    "smt_nonorm_vec",
    "smt_nonsquare_map",
    "smt_res3_map",
)


@pytest.fixture(params=GRAPHS)
def graph_vectors(request: pytest.FixtureRequest, vectors: Callable[[str], Vectors]) -> Vectors:
    """Every graph that there are vectors of."""
    return vectors(request.param)


@pytest.fixture(scope="session")
def assert_equal() -> Callable[..., None]:
    """Hold tensors to others by name, each relative to its size."""

    def compare(
        mine: dict[str, Tensor], theirs: dict[str, Tensor], relative: float, floor: float = 0.0
    ) -> None:
        wrong = {}
        for name, value in theirs.items():
            assert name in mine
            assert mine[name].shape == value.shape, name
            size = max(float(value.detach().norm()), floor)
            error = float((mine[name].detach().to(value) - value.detach()).norm())
            if error > relative * size:
                wrong[name] = error / size
        assert not wrong

    return compare


@pytest.fixture(scope="session")
def assert_gradients(assert_equal: Callable[..., None]) -> Callable[..., None]:
    """Hold gradients to others, where sums that cancel leave rounding noise.

    The true gradient of attention's biases is 0 where all nodes are neighbours, and the noise is of
    the size of the terms: so no gradient is held to less than a hundredth of the largest.
    All of them together, as one vector, are held to ``whole``.
    """

    def compare(
        mine: dict[str, Tensor],
        theirs: dict[str, Tensor],
        relative: float,
        whole: float | None = None,
    ) -> None:
        largest = max(float(value.norm()) for value in theirs.values())
        assert_equal(mine, theirs, relative, floor=largest / 100)
        one, other = (
            torch.cat([side[name].detach().double().flatten() for name in theirs])
            for side in (mine, theirs)
        )
        assert float((one - other).norm() / other.norm()) <= (relative if whole is None else whole)

    return compare
