"""What is no dense tensor is refused wherever weights come in, and nothing is changed by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stgraph.backbones import inflate, resnet18
from stgraph.checks import InputError
from stgraph.training import load_weights
from stgraph.training.checkpoints import check_keys
from stgraph.weights import (
    block_from_official,
    load_by_name,
    load_imagenet,
    load_official,
    model_from_official,
    rstg_from_official,
    rstg_graph_from_official,
)

SHAPE = (64, 3, 7, 7)
pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor"),
]


def fake() -> Tensor:
    with FakeTensorMode():
        return torch.zeros(SHAPE)


def bits() -> Tensor:
    return torch.zeros(SHAPE, dtype=torch.uint8).view(torch.bits8)


WRONG: dict[str, Callable[[], Any]] = {
    "text": lambda: "weights",
    "list": lambda: torch.zeros(SHAPE).tolist(),
    "number": lambda: 3,
    "array": lambda: torch.zeros(SHAPE).numpy(),
    "nothing": object,
    "meta": lambda: torch.zeros(SHAPE, device="meta"),
    "sparse": lambda: torch.zeros(SHAPE).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.zeros(SHAPE), 1.0, 0, torch.qint8),
    "complex": lambda: torch.zeros(SHAPE, dtype=torch.complex64),
    "whole": lambda: torch.zeros(SHAPE, dtype=torch.int64),
    "fake": fake,
    "bits": bits,
    "other": lambda: torch.zeros(3, 7),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(3), torch.zeros(2)]),
}
NAME = "conv1.weight"


def by_checkpoint(net: nn.Module, state: dict[str, Any]) -> None:
    check_keys(net, state)
    net.load_state_dict(state)


INTO: dict[str, Callable[[nn.Module, dict[str, Any]], object]] = {
    "by name": load_by_name,
    "by checkpoint": by_checkpoint,
    "imagenet": load_imagenet,
    "official": load_official,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("into", INTO)
def test_a_net_takes_dense_tensors_alone(into: str, wrong: str) -> None:
    net = resnet18(num_classes=2, stages=1)
    state = {
        name: torch.rand_like(value.float()).to(value) for name, value in net.state_dict().items()
    }
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError):
        INTO[into](net, {**state, NAME: WRONG[wrong]()})
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    INTO[into](net, state)
    assert torch.equal(net.conv1.weight, state[NAME])


@pytest.mark.parametrize("into", INTO)
@pytest.mark.parametrize("state", [None, 3, "state", [("a", 1)]])
def test_a_state_is_a_mapping(into: str, state: Any) -> None:
    with pytest.raises(InputError):
        INTO[into](resnet18(num_classes=2, stages=1), state)


@pytest.mark.parametrize("wrong", ["meta", "sparse", "quantised", "fake"])
def test_convolutions_to_inflate_are_dense(wrong: str) -> None:
    net = nn.ModuleDict({"conv1": nn.Conv3d(3, 64, (3, 7, 7))})
    with pytest.raises(InputError, match=r"state\['conv1.weight'\]: expected a dense tensor"):
        inflate({NAME: WRONG[wrong]()}, net)


@pytest.mark.parametrize("wrong", ["text", "meta", "sparse", "quantised", "fake", "nested"])
def test_models_are_built_of_dense_tensors(wrong: str) -> None:
    state = {f"module.{name}": value for name, value in resnet18(2, stages=1).state_dict().items()}
    with pytest.raises(InputError):
        model_from_official(state | {f"module.{NAME}": WRONG[wrong]()})
    with pytest.raises(InputError):
        block_from_official({"dynamic_graph.a": WRONG[wrong]()})


@pytest.mark.parametrize("wrong", ["meta", "sparse", "quantised", "fake", "nested", "ragged"])
def test_graphs_of_rstg_are_built_of_arrays(wrong: str) -> None:
    state = {"a": [[1.0], [1.0, 2.0]] if wrong == "ragged" else WRONG[wrong]()}
    for make in (rstg_from_official, rstg_graph_from_official):
        with pytest.raises(InputError, match=r"source\['a'\]: expected an? (dense tensor|array)"):
            make(state)


def test_models_are_not_built_of_views_of_a_number() -> None:
    huge = torch.zeros(1).expand(10**6, 10**6)
    with pytest.raises(InputError, match=r"all of its values, got \[1000000, 1000000\]"):
        model_from_official({"conv1.weight": huge})
    with pytest.raises(InputError, match="all of its values"):
        block_from_official({"dynamic_graph.a": huge})


def test_a_checkpoint_of_anything_else_changes_nothing(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    before = net.weight.detach().clone()
    state = net.state_dict()
    for value in (3, None, torch.zeros(3, 2, device="meta"), torch.zeros(3, 2).to_sparse()):
        torch.save({"state_dict": {**state, "weight": value}}, tmp_path / "a.ckpt")
        with pytest.raises(InputError, match="of another kind: weight "):
            load_weights(net, tmp_path / "a.ckpt")
        assert torch.equal(net.weight, before)
