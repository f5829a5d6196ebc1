from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import Linear

from stgraph import recipes
from stgraph.initialise import STARTS, glorot, he, pytorch


def spread(values: torch.Tensor) -> float:
    return values.std().item()


# Standard deviations of the official code, of PyTorch and, for the first convolution, of He.
OFFICIAL = {"cell": 0.044, "first": 0.021, "classifier": 0.060, "projection": 0.036}
DEFAULT = {"cell": 0.026, "classifier": 0.026, "projection": 0.018}


def spreads(model: nn.Module, projection: nn.Module) -> dict[str, float]:
    return {
        "cell": spread(model.net.layers["time"].cell.weight_ih_l0),
        "first": spread(model.backbone.layers[0].weight),
        "classifier": spread(model.classifier.weight),
        "projection": spread(projection.weight),
    }


@pytest.fixture(scope="module")
def sync_mnist() -> nn.Module:
    return recipes.rstg_sync_mnist_official()


@pytest.fixture(scope="module")
def projection() -> nn.Module:
    return recipes.rstg_block_official(1024).net.layers["project_in"].module


def test_glorot_is_the_start_of_the_official_code(sync_mnist, projection):
    for start in (lambda _: None, glorot):  # the recipe's own, and drawn anew
        start(sync_mnist)
        start(projection)
        found = spreads(sync_mnist, projection)
        assert found == pytest.approx(OFFICIAL, rel=0.03)
        biases = [p for name, p in sync_mnist.named_parameters() if "bias" in name]
        assert len(biases) > 10
        assert all(bias.abs().max() == 0 for bias in biases)


def test_pytorch_and_he_are_others(sync_mnist, projection):
    he(sync_mnist)
    assert spread(sync_mnist.backbone.layers[0].weight) == pytest.approx(0.470, rel=0.03)
    pytorch(sync_mnist)
    pytorch(projection)
    found = spreads(sync_mnist, projection)
    assert {name: found[name] for name in DEFAULT} == pytest.approx(DEFAULT, rel=0.03)


@pytest.mark.parametrize("name", STARTS)
def test_norms_and_gates_stay_as_they_are(name):
    block = recipes.rstg_block(24, width=8)
    regions = recipes.dyreg_regions()
    kept = {
        key: value.clone()
        for key, value in (*block.state_dict().items(), *regions.state_dict().items())
        if "norm" in key or "alpha" in key
    }
    assert len(kept) > 10
    STARTS[name](block)
    STARTS[name](regions)
    for key, value in (*block.state_dict().items(), *regions.state_dict().items()):
        assert key not in kept or torch.equal(value, kept[key])
    x = torch.randn(1, 2, 24, 6, 6)
    assert torch.equal(block.eval()(x).features, x)


MAPS = {
    "linear": (lambda: nn.Linear(300, 200), 300, 200),
    "of PyG": (lambda: Linear(300, 200), 300, 200),
    "convolution": (lambda: nn.Conv2d(40, 60, 3), 360, 540),
    "in groups": (lambda: nn.Conv2d(80, 60, 3, groups=2), 360, 540),
    "of clips": (lambda: nn.Conv3d(40, 60, (3, 1, 1)), 120, 180),
    "transposed": (lambda: nn.ConvTranspose2d(40, 60, 3), 360, 540),
}


@pytest.mark.parametrize("name", MAPS)
def test_fans_are_those_of_what_goes_in_and_out(name):
    make, fan_in, fan_out = MAPS[name]
    module = make()
    glorot(module)
    assert spread(module.weight) == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.05)
    limit = math.sqrt(6 / (fan_in + fan_out))
    assert module.weight.abs().max().item() == pytest.approx(limit, rel=0.02)  # uniform
    he(module)
    assert spread(module.weight) == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
    assert module.bias.abs().max() == 0


CELLS = {
    "LSTM": lambda: nn.LSTM(90, 60, num_layers=2, bidirectional=True),
    "projected": lambda: nn.LSTM(90, 60, proj_size=50),
    "GRU": lambda: nn.GRU(90, 60),
    "step": lambda: nn.GRUCell(90, 60),
}


@pytest.mark.parametrize("name", CELLS)
def test_every_gate_of_a_cell_has_fans_of_its_own(name):
    cell = CELLS[name]()
    glorot(cell)
    for key, value in cell.named_parameters():
        if key.startswith("bias"):
            assert value.abs().max() == 0
            continue
        gates = [value] if key.startswith("weight_hr") else value.split(60)
        assert len(gates) in (1, 3, 4)
        for gate in gates:
            expected = math.sqrt(2 / sum(gate.shape))
            assert spread(gate) == pytest.approx(expected, rel=0.1)
