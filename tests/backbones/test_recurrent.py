from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.backbones import ConvStack, RecurrentClassifier, conv_lstm, mean_lstm
from stgraph.checks import InputError
from stgraph.classifiers import VideoClassifier

MAKERS = {"mean": mean_lstm, "conv": conv_lstm}


@pytest.fixture(params=MAKERS)
def net(request) -> VideoClassifier:
    return MAKERS[request.param](5, channels=8).double().eval()


def video(frames: int = 4) -> torch.Tensor:
    return torch.rand(2, frames, 1, 30, 34, dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(mean_lstm, 6_849_582), (conv_lstm, 13_930_030)],  # published as 6.85M and 13.93M
)
def test_parameters_are_as_many_as_published(make, expected):
    with torch.device("meta"):
        net = make()
    assert sum(p.numel() for p in net.parameters()) == expected
    answer = net(torch.empty(2, 3, 1, 64, 64, device="meta"))
    assert answer.logits.shape == (2, 46)


def test_the_classes_are_those_of_the_last_output():
    net = mean_lstm(5, channels=8).double()
    clips = video()
    answer = net(clips)
    vectors = net.backbone(clips.flatten(0, 1)).mean((2, 3)).view(2, 4, 8)
    out, _ = net.cell(vectors.transpose(0, 1))
    torch.testing.assert_close(answer.logits, net.classifier(out[-1]))
    assert answer.x is answer.graph is None


def test_convolutions_have_batch_norm_and_relu_between_them():
    with torch.device("meta"):
        parts = list(conv_lstm().backbone)
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(part) for part in parts] == [ConvStack, *kinds, *kinds, nn.Conv2d]
    convolutions = [part for part in parts if isinstance(part, nn.Conv2d)]
    assert [(conv.padding, conv.stride) for conv in convolutions] == [((1, 1), (1, 1))] * 3


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1), (3, 1)])
def test_pieces_equal_the_whole(net, cuts):
    clips = video()
    whole = net(clips)
    state = None
    for piece in clips.split(cuts, dim=1):
        answer = net(piece, state)
        state = answer.state
    torch.testing.assert_close(answer.logits, whole.logits, atol=1e-12, rtol=0)


def test_the_order_of_frames_matters(net):
    nn.init.normal_(net.cell.weight_hh_l0)
    clips = video()
    assert not torch.allclose(net(clips).logits, net(clips.flip(1)).logits, atol=1e-6)


def test_gradients_reach_every_parameter(net):
    net.train()(video()).logits.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_what_does_not_fit_is_refused(net):
    state = net(video()).state
    with pytest.raises(InputError, match=r"state: expected \[1, 1, 1, 8\], got \[1, 2, 1, 8\]"):
        net(video()[:1], state)
    with pytest.raises(InputError, match="state: expected 2 tensor"):
        net(video(), state[:1])
    with pytest.raises(InputError, match=r"hints: expected none, .* got"):
        net(video(), boxes=1)
    with pytest.raises(InputError, match=r"video: expected \[B, T, C, H, W\], got \[2, 1, 30, 34"):
        net(video()[:, 0])
    with pytest.raises(InputError, match=r"cell: expected a torch\.nn\.GRU or torch\.nn\.LSTM"):
        RecurrentClassifier(nn.Identity(), nn.RNN(8, 8), 5)
