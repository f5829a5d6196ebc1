from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import FixedStatsBatchNorm3d
from stgraph.checks import InputError


def norm(eps: float = 1e-5) -> FixedStatsBatchNorm3d:
    made = FixedStatsBatchNorm3d(3, eps).double()
    for value in (made.running_mean, made.running_var, made.weight.data, made.bias.data):
        value.copy_(torch.rand(3) + 0.5)
    return made


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_it_is_plain_batch_norm_in_evaluation_and_stays_so_in_training(eps):
    fixed, plain = norm(eps), nn.BatchNorm3d(3, eps).double().eval()
    plain.load_state_dict(fixed.state_dict())
    x = torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(fixed.train()(x), plain(x))
    assert torch.equal(fixed(x), fixed.eval()(x))


def test_its_statistics_are_never_updated_but_scale_and_shift_are_trained():
    fixed = norm().train()
    before = {name: value.clone() for name, value in fixed.named_buffers()}
    fixed(torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)).square().sum().backward()
    for name, value in fixed.named_buffers():
        assert torch.equal(value, before[name])
    assert fixed.weight.grad.abs().sum() > 0
    assert fixed.bias.grad.abs().sum() > 0


def test_maps_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"input: expected \[B, 3, T, H, W\], got \[3, 2, 2, 2\]"):
        norm()(torch.zeros(3, 2, 2, 2))
