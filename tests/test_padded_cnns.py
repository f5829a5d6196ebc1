"""CNNs with blocks, and classifiers: clips of different lengths are the same clips one by one."""

from __future__ import annotations

import pytest
import torch
from padded_clips import MASK, random, regions, same, spoilt
from torch import nn

from stgraph import GraphBlock, SpaceTimeGraph, insert
from stgraph.backbones import NonLocalBlock, RecurrentClassifier, TemporalShift, i3d_resnet50
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.edges import FullEdges
from stgraph.layers import Broadcast, Readout, SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes


class Mixed(nn.Module):
    """A CNN with a batch norm, which padding would reach in training."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 6)

    def forward(self, x):
        return self.fc(self.pool(self.norm(self.conv(x)).relu()).flatten(1))


def graph_block(place) -> GraphBlock:
    layers = {"time": TimeLayer(nn.GRU(4, 4)), "space": SpaceLayer(4)}
    block = GraphBlock(SpaceTimeGraph(regions(), layers, ("time", "space")))
    nn.init.normal_(block.norm.weight)
    return block


def two_sided(place) -> TemporalShift:
    return TemporalShift(fold=2)


def online(place) -> TemporalShift:
    return TemporalShift(fold=2, online=True)


def non_local(place) -> NonLocalBlock:
    block = NonLocalBlock(place.channels)
    nn.init.normal_(block.norm.weight)
    return block


def broadcast(place) -> GraphBlock:
    net = SpaceTimeGraph(GridNodes(4, (2,), FullEdges()), {"space": SpaceLayer(4)}, ("space",))
    block = GraphBlock(net, remap=Broadcast(Readout("mean", "last")))
    nn.init.normal_(block.norm.weight)
    return block


BLOCKS = [graph_block, two_sided, online, non_local, broadcast]


@pytest.mark.parametrize("make", BLOCKS)
def test_blocks_in_a_cnn(make):
    net = insert(Mixed().double(), {"norm": make}, input_size=(3, 6, 7)).double().eval()
    video = random(3, 5, 3, 6, 7)
    out = net(spoilt(video), frame_mask=MASK)
    assert out.output.shape == (3, 5, 6)
    assert out.output[~MASK].eq(0).all()
    for clip in range(3):
        alone = net(video[clip : clip + 1, MASK[clip]])
        same(out.output[clip, MASK[clip]], alone.output[0])
    if net.causal:
        state, pieces = None, []
        for t in range(5):
            piece = net(spoilt(video)[:, t : t + 1], state, MASK[:, t : t + 1])
            state = piece.state
            pieces.append(piece.output)
        same(torch.cat(pieces, 1), out.output)


@pytest.mark.parametrize("make", [two_sided, online, non_local])
def test_a_block_leaves_frames_that_do_not_exist_as_they_are(make):
    block = make(type("Place", (), {"channels": 4})).double()
    features = random(3, 5, 4, 6, 7)
    out = block(features, frame_mask=MASK).features
    assert torch.equal(out[~MASK], features[~MASK])
    assert not torch.equal(out[MASK], features[MASK])


@pytest.mark.parametrize("make", BLOCKS)
def test_batch_norms_in_training_never_see_padding(make):
    packed, padded = (
        insert(Mixed().double(), {"norm": make}, input_size=(3, 6, 7)).double() for _ in range(2)
    )
    padded.load_state_dict(packed.state_dict())
    video = random(2, 4, 3, 6, 7)
    mask = torch.tensor([[True] * 4 + [False] * 2] * 2)
    long = torch.cat([video, torch.full((2, 2, 3, 6, 7), torch.nan, dtype=torch.float64)], 1)
    same(padded(long, frame_mask=mask).output[:, :4], packed(video).output)
    for one, other in zip(packed.state_dict().values(), padded.state_dict().values(), strict=True):
        same(one, other)


def test_what_mixes_frames_and_cannot_leave_any_out_refuses_a_mask():
    cnn = insert(i3d_resnet50(5), {}, input_size=(3, 8, 32, 32))
    with pytest.raises(InputError, match="frame_mask: expected None: a 3D CNN mixes frames"):
        cnn(torch.zeros(1, 2, 3, 32, 32), frame_mask=torch.tensor([[True, False]]))

    class Own(nn.Module):
        causal = True

        def forward(self, features, state=None):
            return type(two_sided(None)(features))(features, None)

    net = insert(Mixed(), {"conv": Own()}, input_size=(3, 6, 7))
    with pytest.raises(InputError, match=r"frame_mask: expected None: \['conv'\] take none"):
        net(torch.zeros(3, 5, 3, 6, 7), frame_mask=MASK)
    block = NonLocalBlock(4, norm=lambda c: nn.GroupNorm(1, c))
    with pytest.raises(InputError, match="frame_mask: expected None, with a norm over whole clips"):
        block(torch.zeros(3, 5, 4, 6, 7), frame_mask=MASK)


def graph_classifier() -> GraphClassifier:
    backbone = nn.Conv2d(3, 4, 3)
    layers = {"time": TimeLayer(nn.LSTM(4, 4, 2)), "space": SpaceLayer(4)}
    net = SpaceTimeGraph(regions(), layers, ("time", "space"))
    return GraphClassifier(backbone, net, 6, Readout("mean", "last"))


CLASSIFIERS = {
    "graph": graph_classifier,
    "cnn": lambda: CNNClassifier(insert(Mixed(), {"conv": graph_block}, input_size=(3, 8, 8)), 6),
    "recurrent": lambda: RecurrentClassifier(nn.Conv2d(3, 4, 3), nn.LSTM(4, 5, 2), 6),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name):
    model = CLASSIFIERS[name]().double().eval()
    video = random(3, 5, 3, 8, 8)
    logits = model(spoilt(video), frame_mask=MASK).logits
    for clip in range(3):
        same(logits[clip], model(video[clip : clip + 1, MASK[clip]]).logits[0])
    state = None
    for t in range(5):
        now = slice(t, t + 1)
        answer = model(spoilt(video)[:, now], state, MASK[:, now])
        state = answer.state
    same(answer.logits, logits)


def test_training_counts_the_frames_that_exist_alone():
    pytest.importorskip("lightning")
    from stgraph.training import ClassificationModule, NodeClasses

    model = graph_classifier().eval()
    auxiliary = NodeClasses(4, 6)
    module = ClassificationModule(model, scale=nn.Identity(), auxiliary=auxiliary).double()
    module.log = lambda *_, **__: None
    batch = {
        "video": spoilt(random(3, 5, 3, 8, 8)),
        "label": torch.tensor([4, 0, 2]),
        "digit_class": torch.tensor([[1], [2], [5]]),
        "frame_mask": MASK,
    }
    loss = module.training_step(batch, 0)
    losses, extras = [], []
    for clip, length in enumerate((3, 5, 1)):
        here = slice(clip, clip + 1)
        one = {name: value[here] for name, value in batch.items() if name != "frame_mask"}
        one["video"] = one["video"][:, MASK[clip]]
        answer = module.answer(one)
        losses.append(module.loss(answer.logits, one["label"]))
        extras.append(length * auxiliary(answer, one))
    same(loss, torch.stack(losses).mean() + torch.stack(extras).sum() / 9)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
