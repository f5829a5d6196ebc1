from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import (
    FixedStatsBatchNorm3d,
    PairMax3d,
    WindowMean3d,
    c2d_resnet50,
    c2d_resnet50_official,
    i3d_resnet50,
    i3d_resnet50_official,
)

PAIRS = [(c2d_resnet50_official, c2d_resnet50), (i3d_resnet50_official, i3d_resnet50)]


@pytest.mark.parametrize(("official", "printed"), PAIRS)
def test_they_are_the_others_with_other_parts(official, printed):
    with torch.device("meta"):
        net, other = official(5, dropout=0.1), printed(5)
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in other.state_dict().items()
    }
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 53
    assert {(type(norm), norm.eps) for norm in norms} == {(FixedStatsBatchNorm3d, 1e-5)}
    assert net.maxpool.padding == (0, 0, 0)
    assert isinstance(net.avgpool, WindowMean3d)
    assert net.avgpool.side == 14
    assert net.dropout.p == 0.1
    assert isinstance(net.temporal_pool, PairMax3d)


def test_training_is_as_evaluation_but_for_dropout():
    net = c2d_resnet50_official(5, dropout=0.0)
    for norm in net.modules():
        if isinstance(norm, FixedStatsBatchNorm3d):
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.normal_(norm.running_mean)
    before = {k: v.clone() for k, v in net.named_buffers()}
    video = torch.randn(2, 3, 2, 32, 32)
    logits, gradients = [], []
    for training in (True, False):
        net.train(training).zero_grad()
        out = net(video)
        out.square().sum().backward()
        logits.append(out.detach())
        gradients.append({k: p.grad.clone() for k, p in net.named_parameters()})
    assert torch.equal(*logits)
    assert all(torch.equal(gradients[0][k], gradients[1][k]) for k in gradients[0])
    assert all(torch.equal(v, before[k]) for k, v in net.named_buffers())
