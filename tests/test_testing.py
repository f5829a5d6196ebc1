"""The laws of extractors hold for a good one, and each finds one that breaks it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph import testing
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.nodes import NodeExtractor, Regions


class Good(NodeExtractor):
    """One region that the features of a frame choose, on a frame, with a gate that is closed."""

    def __init__(self, channels: int, edges=None) -> None:
        super().__init__(channels, edges)
        self.map = nn.Conv2d(channels, 1, 1)
        self.gate = nn.Parameter(torch.zeros(1))

    def regions(self, features, state=None):
        b, t, _, h, w = features.shape
        kernel = (self.gate * self.map(features.flatten(0, 1))).exp().view(b, t, 1, h, w)
        box = features.new_tensor([0.0, 0, 1, 1]).expand(b, t, 1, 4)
        return Regions(kernel, box), None


def change(make) -> type[NodeExtractor]:
    """``Good`` with other regions."""

    class Changed(Good):
        def regions(self, features, state=None):
            regions, state = super().regions(features, state)
            return make(self, features, regions, state)

    return Changed


def kernel_of(regions: Regions, kernel: torch.Tensor) -> Regions:
    return Regions(kernel, regions.box)


BROKEN = {
    "valid_graphs": change(lambda self, x, r, s: (Regions(r.kernel, r.box * 2), s)),
    "any_map": change(
        lambda self, x, r, s: (kernel_of(r, r.kernel * (1 if x.size(3) < 20 else torch.nan)), s)
    ),
    "separate_clips": change(
        lambda self, x, r, s: (kernel_of(r, r.kernel * x.mean((0, 2)).exp()[None, :, None]), s)
    ),
    "pieces_equal_the_whole": change(
        lambda self, x, r, s: (kernel_of(r, r.kernel * x.mean((1, 2)).exp()[:, None, None]), s)
    ),
    "state_owns_its_memory": change(lambda self, x, r, s: (r, x.mean((3, 4))[:, -1])),
    "gradients_everywhere": change(lambda self, x, r, s: (kernel_of(r, r.kernel.detach()), s)),
    "exact_gradients": change(
        lambda self, x, r, s: (kernel_of(r, r.kernel * (1 + x.detach().square().mean(2, True))), s)
    ),
}


def test_a_good_extractor_keeps_them_and_is_not_changed():
    extractor = Good(3, edges=FullEdges())
    state = torch.get_rng_state()
    testing.check_extractor(extractor)
    assert torch.equal(torch.get_rng_state(), state)
    assert extractor.gate.item() == 0
    assert extractor.map.weight.dtype == torch.float32
    assert extractor.map.weight.grad is None


@pytest.mark.parametrize("law", BROKEN)
def test_a_law_finds_who_breaks_it(law):
    extractor = BROKEN[law](3)
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        getattr(testing, law)(extractor)
    with pytest.raises(AssertionError, match="Changed breaks '"):
        testing.check_extractor(extractor)


def test_a_state_must_be_refused_where_the_whole_clip_is_needed():
    class Lax(Good):
        causal = False

        def forward(self, features, state=None, **hints):
            return super().forward(features, None, **hints)

    with pytest.raises(AssertionError, match="expected an InputError, 'state: expected None'"):
        testing.pieces_equal_the_whole(Lax(3))

    class Vague(Lax):
        """It refuses, and blames what is right."""

        def forward(self, features, state=None, **hints):
            if state is not None:
                raise InputError("features", "the whole clip", "a piece")
            return super().forward(features, state, **hints)

    with pytest.raises(AssertionError, match="expected 'state: expected None', got features: "):
        testing.pieces_equal_the_whole(Vague(3))


def test_a_state_of_parts_with_names_must_own_its_memory_too():
    parts = change(lambda self, x, r, s: (r, {"last": x.mean((3, 4))[:, -1]}))
    with pytest.raises(AssertionError, match="bytes behind a tensor of the state"):
        testing.state_owns_its_memory(parts(3))


def test_wrong_features_and_types_are_found():
    class Silent(Good):
        def forward(self, features, state=None, **hints):
            return super().forward(features.double()[:, :, :3], state, **hints)

    class Mixed(Good):
        """Features of single precision, whatever comes."""

        def regions(self, features, state=None):
            regions, state = super().regions(features, state)
            x = features.float().mean((3, 4))[:, :, None]
            return Regions(regions.kernel, regions.box, x=x), state

    with pytest.raises(AssertionError, match="and none was raised"):
        testing.wrong_features_refused(Silent(3))
    with pytest.raises(AssertionError, match="Silent breaks 'wrong_features_refused'"):
        testing.check_extractor(Silent(3))
    with pytest.raises(AssertionError, match="type of x"):
        testing.half_precision(Mixed(3))


@pytest.mark.parametrize("right", [True, False])
def test_a_state_of_padding_is_found(right):
    class Remembering(Good):
        """The kernel is of the frame before; the state is of the last one, or of padding."""

        def regions(self, features, state=None, frame_mask=None):
            regions, _ = super().regions(features)
            mean = features.mean((2, 3, 4))  # [B, T]
            before = mean[:, :1] * 0 if state is None else state
            slope = torch.cat([before, mean[:, :-1]], dim=1)[:, :, None, None, None]
            kernel = regions.kernel * (slope * torch.arange(features.size(-1))).exp()
            last = mean[:, -1:].clone()
            if right and frame_mask is not None:
                last = mean.gather(1, frame_mask.sum(1, keepdim=True) - 1)
            return kernel_of(regions, kernel), last

    if right:
        testing.check_extractor(Remembering(3))
    else:
        testing.pieces_equal_the_whole(Remembering(3))
        with pytest.raises(AssertionError, match="not close"):
            testing.padding_changes_nothing(Remembering(3))


def test_what_autocast_breaks_is_found():
    class Cast(Good):
        def regions(self, features, state=None):
            regions, state = super().regions(features, state)
            gate = torch.mm(self.gate[:, None], self.gate[:, None])  # of half precision
            return kernel_of(regions, torch.lerp(regions.kernel, regions.kernel, gate)), state

    testing.gradients_everywhere(Cast(3))
    with pytest.raises(RuntimeError, match="dtype"):
        testing.half_precision(Cast(3))


def test_every_law_is_public():
    assert {law.__name__ for law in testing.EXTRACTOR_LAWS} <= set(testing.__all__)
