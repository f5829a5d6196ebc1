"""Types, memory and numbers of the tensors of a model that is saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save
from torch import nn
from trained_models import answer, trained

from stgraph import recipes
from stgraph.checks import InputError
from stgraph.weights import from_pretrained, save_pretrained


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_types_are_kept(dtype, tmp_path: Path):
    model = trained(recipes.dyreg_small(3).to(dtype))
    again = from_pretrained(save_pretrained(model, tmp_path))
    kinds = [value.dtype for value in model.state_dict().values()]
    assert [value.dtype for value in again.state_dict().values()] == kinds
    assert dtype in kinds
    x = torch.rand(1, 2, 1, 32, 32, dtype=dtype)
    assert torch.equal(answer(again, x), answer(model, x))


def test_types_of_parts_are_kept(tmp_path: Path):
    model = trained(recipes.resnet18_multi_sync_mnist(3))
    model.net.layer3.bfloat16()
    model.net.bn1.weight.data = model.net.bn1.weight.data.double()
    again = from_pretrained(save_pretrained(model, tmp_path))
    mine, theirs = model.state_dict(), again.state_dict()
    assert [mine[key].dtype for key in mine] == [theirs[key].dtype for key in mine]
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.b(self.a(x)), None


def test_shared_weights_and_models_of_ones_own(tmp_path: Path):
    model = trained(Tied())
    save_pretrained(model, tmp_path)
    assert load_model(Tied(), tmp_path / "model.safetensors") == (set(), [])
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] is None
    again = from_pretrained(tmp_path, build=Tied)
    assert again.a.weight is again.b.weight
    x = torch.rand(2, 3)
    assert torch.equal(again(x)[0], model(x)[0])
    with pytest.raises(InputError, match=r"build: expected a function that makes the Tied, got no"):
        from_pretrained(tmp_path)


def test_one_memory_seen_in_two_ways_is_two_tensors(tmp_path: Path):
    """A square matrix and its transpose have place, shape and type in common."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.randn(3, 3))
            self.b = nn.Parameter(self.a.data.t())

    model = Both()
    save_pretrained(model, tmp_path)
    again = from_pretrained(tmp_path, build=Both)
    assert torch.equal(again.a, model.a)
    assert torch.equal(again.b, model.a.t())


def test_weights_that_are_views_are_saved_alone(tmp_path: Path):
    model = nn.LSTM(3, 4)
    parts = list(model.parameters())
    memory = torch.randn(sum(part.numel() for part in parts) + 7)  # as on a GPU
    pieces = memory[7:].split([part.numel() for part in parts])
    for part, piece in zip(parts, pieces, strict=True):
        part.data = piece.view_as(part)
    model.weight_ih_l0.data = torch.randn(3, 16).t()
    model.register_buffer("one", torch.ones(1).expand(5))

    def build() -> nn.Module:
        net = nn.LSTM(3, 4)
        net.register_buffer("one", torch.zeros(5))
        return net

    again = from_pretrained(save_pretrained(model, tmp_path), build).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    assert load_model(build(), tmp_path / "model.safetensors") == (set(), [])


def test_a_memory_may_be_seen_in_many_ways(tmp_path: Path):
    """The whole of one in three shapes; of another a part, which comes before the whole."""

    def build(one: torch.Tensor | None = None, other: torch.Tensor | None = None) -> nn.Module:
        net = nn.Module()
        for name, sizes in {"a": (2, 3), "b": (3, 2), "c": (6,)}.items():
            net.register_buffer(name, torch.zeros(sizes) if one is None else one.view(sizes))
        net.register_buffer("part", torch.zeros(3) if other is None else other[:3])
        net.register_buffer("whole", torch.zeros(6) if other is None else other)
        return net

    model = build(torch.randn(6), torch.randn(6))
    again = from_pretrained(save_pretrained(model, tmp_path), build).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_types_of_what_a_module_holds_itself_are_kept(tmp_path: Path):
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
            self.register_parameter("none", None)
            self.register_buffer("scratch", torch.zeros(2), persistent=False)
            self.register_buffer("count", torch.tensor(3))

    model = Own()
    model.b.data = torch.rand(2, dtype=torch.float64)
    again = from_pretrained(save_pretrained(model, tmp_path), build=Own)
    kinds = [value.dtype for value in (again.a, again.b, again.scratch, again.count)]
    assert kinds == [torch.float32, torch.float64, torch.float32, torch.int64]
    assert torch.equal(again.b, model.b)


@pytest.fixture
def complex_numbers() -> None:
    try:
        save({"a": torch.zeros(1, dtype=torch.complex64)})
    except KeyError:
        pytest.skip("this safetensors has no complex numbers")


@pytest.mark.usefixtures("complex_numbers")
def test_complex_numbers_stay_complex(tmp_path: Path):
    def build() -> nn.Module:
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        net[1].register_buffer("turn", torch.zeros(3, dtype=torch.complex64))
        net[1].register_buffer("grid", torch.zeros(3), persistent=False)
        return net

    model = trained(build()).double()
    model[1].turn = torch.randn(3, dtype=torch.complex64)
    again = from_pretrained(save_pretrained(model, tmp_path), build)
    for name, value in model.state_dict().items():
        assert again.state_dict()[name].dtype == value.dtype
        assert torch.equal(again.state_dict()[name], value)
    assert again[1].grid.dtype == model[1].grid.dtype == torch.float64


@pytest.mark.usefixtures("complex_numbers")
def test_numbers_are_saved_as_they_are_seen(tmp_path: Path):
    """Torch conjugates and negates where it reads, and leaves the memory as it is."""
    numbers = torch.randn(4, dtype=torch.complex64)

    def build(zeros: bool = True) -> nn.Module:
        net = nn.Module()
        seen = {"plain": numbers, "conjugated": numbers.conj(), "negated": numbers.conj().imag}
        for name, value in seen.items():
            net.register_buffer(name, torch.zeros_like(value) if zeros else value)
        return net

    again = from_pretrained(save_pretrained(build(zeros=False), tmp_path), build)
    assert torch.equal(again.plain, numbers)
    assert torch.equal(again.conjugated, numbers.conj())
    assert torch.equal(again.negated, -numbers.imag)


def test_tensors_that_are_not_dense_are_told(tmp_path: Path):
    net = nn.Module()
    net.register_buffer("adjacency", torch.eye(3).to_sparse())
    with pytest.raises(InputError, match=r"state_dict\(\)\['adjacency'\]: expected a dense tensor"):
        save_pretrained(net, tmp_path)
    assert not list(tmp_path.iterdir())


def test_types_that_the_format_has_not_are_told(tmp_path: Path):
    net = nn.Linear(2, 2)
    save_pretrained(net, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    net.register_buffer("turn", torch.zeros(3, dtype=torch.complex128))
    with pytest.raises(InputError, match=r"has, got torch\.complex128 in turn"):
        save_pretrained(net, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
