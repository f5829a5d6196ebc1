"""Laws of whole blocks, put together at random."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from examples import some
from hypothesis import given
from hypothesis import strategies as st
from random_blocks import (
    CONVS,
    EDGES,
    FROM_OUTSIDE,
    GATHERS,
    LEAKING,
    NODE_LAYERS,
    UNNAMED,
    UPDATES,
    C,
    Composition,
    compositions,
)
from torch import nn

from stgraph.checks import InputError
from stgraph.graph import layout_of, to_dense, validate
from stgraph.kernels import Bilinear
from stgraph.layers import (
    AggregateReadout,
    Readout,
    Remap,
    SpaceLayer,
)
from stgraph.nodes import (
    FixedRegions,
    FixedSizeWindows,
)


def cut(hints, clips=slice(None), frames=slice(None)):
    return {name: hint[clips, frames] for name, hint in hints.items()}


def same(one: torch.Tensor, other: torch.Tensor, atol: float = 1e-10) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=0)


@some(60)
@given(c=compositions())
def test_an_untrained_block_is_an_identity_and_its_graphs_are_valid(c):
    block, features = c.block(), c.features()
    out = block(features, **c.hints())
    assert torch.equal(out.features, features)
    validate(out.graph)
    assert out.x.shape == (out.graph.num_nodes, block.net.out_channels)
    assert out.x.isfinite().all()


@some(60)
@given(c=compositions())
def test_a_clip_alone_is_the_clip_in_a_batch(c):
    block, features, hints = c.trained(), c.features(), c.hints()
    whole = block(features, **hints).features
    for clip in range(c.clips):
        here = slice(clip, clip + 1)
        same(block(features[here], **cut(hints, here)).features, whole[here])


@some(60)
@given(c=compositions(extractor=FROM_OUTSIDE, edges=UNNAMED))
def test_renaming_the_boxes_renames_the_nodes_and_leaves_the_maps(c):
    block, features, hints = c.trained(), c.features(), c.hints()
    first = block(features, **hints)
    generator = torch.Generator().manual_seed(c.seed)
    name, place = (torch.randperm(c.nodes, generator=generator) for _ in range(2))
    renamed = {hint: value[:, :, place] for hint, value in hints.items()}
    renamed["track"] = name[renamed["track"]]
    second = block(features, **renamed)
    same(second.features, first.features)
    same(to_dense(second.x, second.graph)[:, :, name], to_dense(first.x, first.graph))


ANCHORED = {
    "fixed": lambda n, anchors, make: FixedRegions(C, n, make(n), anchors=anchors),
    "bilinear": lambda n, anchors, make: FixedRegions(
        C, n, make(n), profile=Bilinear(), windows=FixedSizeWindows.of(1.0), anchors=anchors
    ),
}


@pytest.mark.parametrize("kind", ANCHORED)
@some(15)
@given(c=compositions(extractor=["fixed"], edges=UNNAMED))
def test_renaming_the_anchors_renames_the_nodes_and_leaves_the_maps(kind, c):
    generator = torch.Generator().manual_seed(c.seed)
    anchors = torch.rand(c.nodes, 2, generator=generator)
    order = torch.randperm(c.nodes, generator=generator)
    outputs = []
    for placed in (anchors, anchors[order]):
        block = c.trained()
        extractor = ANCHORED[kind](c.nodes, lambda n, placed=placed: placed, EDGES[c.edges])
        block.net.nodes = extractor.double()
        outputs.append(block(c.features()))
    first, second = outputs
    same(second.features, first.features)
    same(to_dense(second.x, second.graph), to_dense(first.x, first.graph)[:, :, order])


@some(60)
@given(c=compositions(gather=GATHERS))
def test_dense_equals_sparse_with_gradients(c):
    block, hints, results = c.trained(), c.hints(), []
    for path in ("dense", "sparse"):
        for layer in block.net.layers.values():
            if isinstance(layer, SpaceLayer):
                layer.path = path
        features = c.features().requires_grad_()
        out = block(features, **hints).features
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        # A parameter that no edge reaches has no gradient on one path, and 0 on the other.
        needed = [features, *block.parameters()]
        grads = torch.autograd.grad((out * weight).sum(), needed, materialize_grads=True)
        results.append((out, *grads))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)


@some(80)
@given(c=compositions(), cuts=st.lists(st.integers(1, 3), max_size=4))
def test_what_is_causal_streams_and_the_rest_refuses_a_state(c, cuts):
    block, features, hints = c.trained(), c.features(), c.hints()
    whole = block(features, **hints)
    if not block.causal:
        with pytest.raises(InputError, match=r"state: expected None: .* need.* the whole clip"):
            block(features, whole.state, **hints)
        return
    state, pieces, nodes, first = None, [], [], 0
    for length in (*cuts, *[1] * c.frames):
        if first < c.frames:
            now = slice(first, min(first + length, c.frames))
            out = block(features[:, now], state, **cut(hints, frames=now))
            pieces.append(out.features)
            nodes.append(to_dense(out.x, out.graph))
            state, first = out.state, now.stop
    same(torch.cat(pieces, dim=1), whole.features)
    same(torch.cat(nodes, dim=1), to_dense(whole.x, whole.graph))
    assert state.nodes.clock == c.frames


def exists(c: Composition, frames: int, kind: str) -> torch.Tensor:
    """Which frames exist ``[B, T]``: the first few, or any; the first clip has one."""
    mask = torch.rand(c.clips, frames, generator=torch.Generator().manual_seed(c.seed)) < 0.6
    mask[0, -1] = True
    if kind == "any":
        return mask
    return torch.arange(frames) < mask.sum(1, keepdim=True)


def spoilt(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Where no frame is may be anything."""
    return x.masked_fill(~mask.view(*mask.shape, *[1] * (x.dim() - 2)), torch.nan)


def padded(c: Composition, mask: torch.Tensor):
    hints = c.hints()
    if "boxes" in hints:
        hints["boxes"] = spoilt(hints["boxes"], mask)
    return spoilt(c.features(), mask), hints


READOUTS: dict[str, Callable[[], nn.Module]] = {
    "sum, mean": Readout,
    "max, last": lambda: Readout("max", "last"),
    "mean, mean": lambda: Readout("mean"),
    "std, mean": lambda: AggregateReadout("std"),
    "median, last": lambda: AggregateReadout("median", "last"),
}
PATTERNS = st.sampled_from(["first", "any"])


@some(150)
@given(c=compositions(), kind=PATTERNS, readout=st.sampled_from(list(READOUTS)))
def test_clips_of_different_lengths_equal_each_clip_alone_with_gradients(c, kind, readout):
    block, mask, readout = c.trained(), exists(c, c.frames, kind), READOUTS[readout]()
    features, hints = padded(c, mask)
    features.requires_grad_()
    out = block(features, frame_mask=mask, **hints)
    lengths = layout_of(validate(out.graph)).lengths
    assert list(lengths) == mask.sum(1).tolist()
    assert torch.equal(out.features[~mask].isnan(), features[~mask].isnan())
    vectors, dense = readout(out.x, out.graph), to_dense(out.x, out.graph)
    needed = list(block.parameters())
    weight = torch.linspace(-1, 1, features[0, 0].numel(), dtype=torch.float64).view_as(
        features[0, 0]
    )

    def gradients(maps, x, features):
        loss = (maps * weight).sum() + x.square().sum()
        return torch.autograd.grad(loss, [features, *needed], materialize_grads=True)

    into, *together = gradients(out.features[mask], vectors, features)
    assert into[~mask].eq(0).all()
    alone = [torch.zeros_like(part) for part in needed]
    for clip, length in enumerate(lengths):
        if not length:
            assert vectors[clip].eq(0).all()
            continue
        one = c.features()[clip : clip + 1, mask[clip]].requires_grad_()
        own = block(one, **{k: v[clip : clip + 1, mask[clip]] for k, v in c.hints().items()})
        same(out.features[clip, mask[clip]], own.features[0])
        vector = readout(own.x, own.graph)
        same(vectors[clip], vector[0])
        same(dense[clip, :length], to_dense(own.x, own.graph)[0])
        grad, *grads = gradients(own.features, vector, one)
        torch.testing.assert_close(into[clip, mask[clip]], grad[0], atol=1e-8, rtol=1e-6)
        alone = [old + new for old, new in zip(alone, grads, strict=True)]
        times = out.graph.time[
            torch.isin(out.graph.batch, torch.arange(length) + sum(lengths[:clip]))
        ]
        assert torch.equal(times, own.graph.time)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)


@some(100)
@given(c=compositions(), kind=PATTERNS, length=st.integers(1, 3))
def test_streams_of_different_lengths_equal_each_clip_at_once(c, kind, length):
    block, frames = c.trained(), 3 * length
    if not block.causal:
        return
    c = c._replace(frames=frames)
    mask = exists(c, frames, kind)
    features, hints = padded(c, mask)
    readout, means = Readout("max", "last"), None
    state, pieces = None, []
    for first in range(0, frames, length):
        now = slice(first, first + length)
        out = block(features[:, now], state, mask[:, now], **cut(hints, frames=now))
        last, means = readout.accumulate(out.x, out.graph, means)
        pieces.append(out.features)
        state = out.state
    whole = torch.cat(pieces, dim=1)
    for clip in range(c.clips):
        if mask[clip].any():
            one = {name: hint[clip : clip + 1, mask[clip]] for name, hint in c.hints().items()}
            own = block(c.features()[clip : clip + 1, mask[clip]], **one)
            same(whole[clip, mask[clip]], own.features[0])
            same(last[clip], readout(own.x, own.graph)[0])
    clock = state.nodes.clock
    seen = [clock] * c.clips if isinstance(clock, int) else list(clock)
    assert seen == mask.sum(1).tolist()


@some(60)
@given(c=compositions())
def test_gradients_are_finite(c):
    block = c.trained().train()
    features = c.features().requires_grad_()
    out = block(features, **c.hints()).features
    assert out.isfinite().all()
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    assert features.grad.isfinite().all()
    for name, parameter in block.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def run_in_half_precision(
    c: Composition, dtype: torch.dtype, scale: float, of_loss: tuple[float, ...] = (1.0,)
) -> None:
    """Maps are finite, and gradients are numbers with one of the scales of a loss.

    The loss is the mean of the maps, whose gradients half precision holds.
    """
    block = deepcopy(c.trained()).to(dtype)
    features = (scale * c.features()).to(dtype).requires_grad_()
    out = block(features, **c.hints())
    assert out.features.dtype == dtype
    assert out.x.isfinite().all()
    assert out.features.isfinite().all()
    named = {"features": features, **dict(block.named_parameters())}
    loss, wrong = out.features.float().mean(), []
    for factor in of_loss:
        grads = torch.autograd.grad(
            factor * loss, list(named.values()), retain_graph=True, materialize_grads=True
        )
        wrong = [name for name, grad in zip(named, grads, strict=True) if grad.isnan().any()]
        if not wrong:
            break
    assert not wrong


HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@some(40)
@given(c=compositions())
def test_half_precision_makes_no_nan(dtype, c):
    run_in_half_precision(c, dtype, 1)


# Left out are rounds without a norm, in which values grow (raw products cube them each time).
@some(60)
@given(c=compositions(update=UPDATES))
def test_large_inputs_make_no_nan_in_bfloat16(c):
    run_in_half_precision(c, torch.bfloat16, 100)


# Left out are also products of inputs that half precision cannot hold; PyG's TransformerConv has
# them as well. Norms of equal values, one after another, multiply gradients by 316 each time, more
# than fp16 holds, so that a scaler of losses has to go down.
@some(60)
@given(
    c=compositions(
        gather=[name for name in GATHERS | LEAKING if name != "raw"],
        update=UPDATES,
        before=[name for name in CONVS | NODE_LAYERS if name != "transformer"],
    )
)
def test_large_inputs_make_no_nan_in_float16(c):
    run_in_half_precision(c, torch.float16, 100, of_loss=(1.0, 2.0**-10, 2.0**-20))


@some(30)
@given(c=compositions())
def test_writing_back_is_adjoint_to_reading(c):
    extractor = c.block().net.nodes
    if extractor.channels != c.channels:
        c = c._replace(channels=extractor.channels)
    features = c.features()
    graph, _ = extractor(features, **c.hints())
    x = torch.randn(graph.num_nodes, extractor.channels, dtype=torch.float64)
    kernel = graph.kernel.flatten(1)  # [V, H·W]
    maps = features.flatten(0, 1).flatten(2)[graph.batch]  # [V, C, H·W]
    read = (maps @ kernel[:, :, None]).squeeze(-1)
    same((Remap()(x, graph) * features).sum(), (x * read).sum())
