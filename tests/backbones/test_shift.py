from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import TemporalShift, resnet18, resnet50, shifted_places
from stgraph.checks import InputError


def maps(frames: int = 5, channels: int = 19) -> torch.Tensor:
    return torch.randn(2, frames, channels, 3, 4, dtype=torch.float64)


def test_channels_come_from_the_frame_after_and_the_frame_before():
    x = maps()
    y, state = TemporalShift()(x)
    assert state is None
    assert torch.equal(y[:, :-1, :2], x[:, 1:, :2])
    assert torch.equal(y[:, 1:, 2:4], x[:, :-1, 2:4])
    assert torch.equal(y[:, :, 4:], x[:, :, 4:])
    assert not y[:, -1, :2].any()
    assert not y[:, 0, 2:4].any()


def test_the_online_form_takes_from_the_past_only():
    x = maps()
    y, state = TemporalShift(online=True)(x)
    assert torch.equal(y[:, 1:, :2], x[:, :-1, :2])
    assert torch.equal(y[:, :, 2:], x[:, :, 2:])
    assert not y[:, 0, :2].any()
    assert torch.equal(state, x[:, -1, :2])


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1, 1), (2, 3), (4, 1), (0, 5)])
def test_pieces_equal_the_whole(cuts):
    shift, x = TemporalShift(online=True), maps()
    whole = shift(x)
    state, pieces = None, []
    for piece in x.split(cuts, dim=1):
        out, state = shift(piece, state)
        pieces.append(out)
    torch.testing.assert_close(torch.cat(pieces, 1), whole.features, atol=1e-12, rtol=0)
    assert torch.equal(state, whole.state)


def test_a_state_keeps_no_more_than_it_needs():
    x = maps(frames=50)
    state = TemporalShift(online=True)(x).state
    assert state.untyped_storage().nbytes() == state.numel() * state.element_size()


@pytest.mark.parametrize("online", [False, True])
def test_the_input_is_left_alone(online):
    x = maps()
    before = x.clone()
    TemporalShift(online=online)(x).features.add_(1)
    assert torch.equal(x, before)


@pytest.mark.parametrize("online", [False, True])
def test_gradients_are_right(online):
    x = torch.randn(1, 3, 4, 1, 2, dtype=torch.float64, requires_grad=True)
    shift = TemporalShift(fold=2, online=online)
    assert torch.autograd.gradcheck(lambda x: shift(x).features, x)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_one_frame_of_as_many_channels_as_fold_in_half_precision(online, dtype):
    x = torch.ones(2, 1, 8, 3, 3, dtype=dtype)
    y, state = TemporalShift(online=online)(x)
    assert y.dtype == dtype
    assert y.sum() == x.sum() - (1 if online else 2) * 2 * 9
    assert state is None or state.dtype == dtype


def test_it_has_no_parameters_and_says_whether_it_is_causal():
    assert not TemporalShift().state_dict()
    assert not TemporalShift().causal
    assert TemporalShift(online=True).causal
    assert repr(TemporalShift(4)) == "TemporalShift(fold=4, online=False)"


def test_what_does_not_fit_is_refused():
    state = TemporalShift(online=True)(maps()).state
    with pytest.raises(InputError, match="state: expected None: the two-sided shift needs"):
        TemporalShift()(maps(), state)
    with pytest.raises(InputError, match=r"state: expected \[2, 2, 3, 4\], got \[1, 2, 3, 4\]"):
        TemporalShift(online=True)(maps(), state[:1])
    with pytest.raises(InputError, match="features: expected at least 8 channels, got 7"):
        TemporalShift()(maps(channels=7))
    with pytest.raises(InputError, match=r"features: expected \[B, T, C, H, W\], got \[19, 3, 4\]"):
        TemporalShift()(maps()[0, 0])
    with pytest.raises(InputError, match="fold: expected a whole number of at least 2, got 1"):
        TemporalShift(fold=1)
    with pytest.raises(InputError, match="online: expected True or False, got 'yes'"):
        TemporalShift(online="yes")


def test_every_block_of_a_resnet_is_shifted():
    with torch.device("meta"):
        places = shifted_places(resnet50())
        assert len(shifted_places(resnet18(stages=3))) == 6
    assert len(places) == 16
    assert places[0] == "layer1.0.conv1"
    assert places[-1] == "layer4.2.conv1"


@pytest.mark.parametrize(("deep", "shifted"), [(22, 22), (23, 12), (36, 18)])
def test_every_second_block_of_a_very_deep_resnet_is_shifted(deep, shifted):
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Identity()

    net = nn.Module()
    for name, depth in (("layer1", 3), ("layer2", 4), ("layer3", deep), ("layer4", 3)):
        net.add_module(name, nn.Sequential(*(Block() for _ in range(depth))))
    places = shifted_places(net)
    others = (3, 4, 3) if deep == shifted else (2, 2, 2)
    assert len(places) == sum(others) + shifted
    first = ("1.0", "1.1", "1.2") if deep == shifted else ("1.0", "1.2", "2.0")
    assert places[:3] == [f"layer{place}.conv1" for place in first]


def test_a_net_without_stages_is_refused():
    with pytest.raises(InputError, match=r"net: expected a ResNet .* got Sequential"):
        shifted_places(nn.Sequential(nn.Conv2d(1, 1, 1)))
