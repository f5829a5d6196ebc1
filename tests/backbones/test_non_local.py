from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import FixedStatsBatchNorm3d, NonLocalBlock
from stgraph.checks import InputError


def block(channels: int = 6, **options) -> NonLocalBlock:
    """One that does something."""
    made = NonLocalBlock(channels, **options).double()
    nn.init.ones_(made.norm.weight)
    return made


def maps(*size: int) -> torch.Tensor:
    return torch.randn(*(size or (2, 3, 6, 4, 6)), dtype=torch.float64)


def test_parameters_are_as_many_as_published():
    assert sum(p.numel() for p in NonLocalBlock(512).parameters()) == 526_592


@pytest.mark.parametrize("norm", [nn.BatchNorm3d, FixedStatsBatchNorm3d])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_an_identity_at_the_start(norm, training):
    features = maps()
    made = NonLocalBlock(6, norm).double().train(training)
    out = made(features)
    assert torch.equal(out.features, features)
    assert out.state is None
    assert not made.causal


def test_every_point_attends_to_all_pooled_points():
    net, x = block().eval(), maps(1, 2, 6, 4, 2)
    volume = x[0].transpose(0, 1)  # [C, T, H, W]
    pooled = volume.unflatten(3, (1, 2)).unflatten(2, (2, 2)).amax((3, 5))  # [C, T, 2, 1]

    def linear(conv: nn.Conv3d, points: torch.Tensor) -> torch.Tensor:
        return points.flatten(1).T @ conv.weight[:, :, 0, 0, 0].T + conv.bias

    query, key, value = linear(net.theta, volume), linear(net.phi, pooled), linear(net.g, pooled)
    assert (len(query), len(key)) == (16, 4)
    seen = ((query @ key.T) / 3**0.5).softmax(1) @ value  # C/2 = 3
    added = linear(net.out, seen.T) / (1 + net.norm.eps) ** 0.5
    expected = x + added.unflatten(0, (2, 4, 2)).permute(0, 3, 1, 2)
    torch.testing.assert_close(net(x).features, expected)


def test_clips_do_not_see_each_other_but_frames_do():
    net, x = block().eval(), maps()
    changed = x.clone()
    changed[0, 2] += 1
    before, after = net(x).features, net(changed).features
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[0, 0], after[0, 0])


def test_it_does_not_know_the_order_of_frames():
    net, x = block().eval(), maps()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(net(x[:, order]).features, net(x).features[:, order])


@pytest.mark.parametrize("size", [(1, 1, 6, 1, 1), (2, 1, 6, 7, 5), (1, 3, 6, 14, 14)])
def test_maps_of_any_size(size):
    out = block().eval()(maps(*size)).features
    assert out.shape == size
    assert out.isfinite().all()


def test_the_last_row_and_column_of_odd_maps_can_be_left_out():
    x = maps(2, 3, 6, 7, 5)
    net = NonLocalBlock(6, pool=nn.MaxPool3d((1, 2, 2))).double().eval()
    nn.init.ones_(net.norm.weight)
    changed = x.clone()
    changed[..., -1, :] -= 50  # its own query changes, but nothing that others attend to
    changed[..., -1] -= 50
    same = net(x).features[..., :-1, :-1]
    torch.testing.assert_close(net(changed).features[..., :-1, :-1], same)
    whole = NonLocalBlock(6).double().eval()
    whole.load_state_dict(net.state_dict())
    assert (whole(x).features - net(x).features).abs().max() > 1e-3
    even = maps(2, 3, 6, 6, 4)
    assert torch.equal(whole(even).features, net(even).features)


def test_a_clip_without_frames_stays_finite():
    """A softmax over nothing would be NaN, in gradients too."""
    net, x = block(), maps(2, 3, 6, 4, 4).requires_grad_()
    out = net(x, frame_mask=torch.tensor([[True, True, False], [False] * 3])).features
    out.square().sum().backward()
    assert out.isfinite().all()
    assert torch.equal(out[1], x[1])
    assert torch.stack([p.grad.isfinite().all() for p in [x, *net.parameters()]]).all()
    alone = net(x[:1, :2]).features
    torch.testing.assert_close(out[:1, :2], alone)


def test_frames_that_do_not_exist_may_hold_anything():
    """Those in the middle and in front too: what is there sees what is there alone."""
    net, x = block().eval(), maps(2, 4, 6, 4, 6)
    mask = torch.tensor([[False, True, False, True], [True, True, True, False]])
    x[~mask] = torch.nan
    out = net(x, frame_mask=mask).features
    for clip in range(2):
        there = mask[clip]
        torch.testing.assert_close(out[clip, there], net(x[clip, there][None]).features[0])


def test_gradients_are_right():
    net = block(2).eval()
    x = maps(1, 2, 2, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: net(x).features, x)


def test_half_precision():
    net = block().bfloat16().eval()
    out = net(maps().bfloat16()).features
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="state: expected None: a non-local block needs the whole"):
        block()(maps(), maps())
    with pytest.raises(InputError, match=r"features: expected \[B, T, 6, H, W\], got \[2, 6, 3"):
        block()(maps(2, 6, 3, 4, 4))
    with pytest.raises(InputError, match="channels: expected an even number, got 7"):
        NonLocalBlock(7)
    with pytest.raises(InputError, match="norm: expected a norm with a weight to start at 0"):
        NonLocalBlock(6, norm=lambda channels: nn.BatchNorm3d(channels, affine=False))


def test_a_mask_of_one_frame_of_one_clip():
    net, x = block().eval(), maps(1, 1, 6, 4, 6)
    torch.testing.assert_close(net(x, frame_mask=torch.ones(1, 1, dtype=bool)), net(x))
