"""RSTG as printed and as run: what differs, and that nothing else does."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm

from stgraph import recipes, schedules
from stgraph.backbones import FixedStatsBatchNorm3d, NonLocalBlock, c2d_resnet50_official
from stgraph.edges import FullEdges, GridEdges
from stgraph.layers import (
    AdditiveAttention,
    ClipMapNorm,
    ClipNorm,
    DotAttention,
    FrameMapNorm,
    FrameNorm,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MLPUpdate,
    NodeNorm,
    Scaled,
)
from stgraph.model import GraphBlock, GraphStage


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


PAIRS = {
    "sync_mnist": (recipes.rstg_sync_mnist, recipes.rstg_sync_mnist_official),
    "to_map": (recipes.rstg_to_map, recipes.rstg_to_map_official),
    "to_vec": (recipes.rstg_to_vec, recipes.rstg_to_vec_official),
    "c2d": (recipes.c2d, recipes.c2d_official),
    "i3d": (recipes.i3d, recipes.i3d_official),
    "non_local": (recipes.non_local_i3d, recipes.non_local_official),
}


@pytest.mark.parametrize("name", PAIRS)
def test_both_spellings_have_as_many_parameters(name):
    with torch.device("meta"):
        printed, run = (make() for make in PAIRS[name])
    assert count(printed) == count(run)


def test_the_adjacency_is_no_mask():
    assert type(recipes.rstg_sync_mnist(channels=8).net.layers["space"].gather) is AdditiveAttention
    run = recipes.rstg_sync_mnist_official(channels=8).net.layers["space"].gather
    assert type(run) is LeakingAdditiveAttention
    assert type(recipes.rstg_block(6, 8).net.layers["space"].gather) is DotAttention
    assert type(recipes.rstg_block_official(6, 8).net.layers["space"].gather) is LeakingDotAttention


def test_norms_are_over_the_clip_with_another_epsilon():
    printed, run = recipes.rstg_block(6, 8), recipes.rstg_block_official(6, 8)
    assert (type(printed.net.layers["norm"]), type(run.net.layers["norm"])) == (NodeNorm, ClipNorm)
    assert (type(printed.norm), type(run.norm)) == (FrameMapNorm, Scaled)
    assert isinstance(run.norm.norm, ClipMapNorm)
    norms = [m for m in run.modules() if isinstance(m, (FrameNorm, ClipMapNorm))]
    assert [norm.eps for norm in norms] == [1e-12] * 4
    assert printed.causal
    assert not run.causal
    nodes = recipes.rstg_sync_mnist_official(channels=8).net.layers["norm"].module
    assert (nodes.eps, nodes.momentum) == (1e-3, 0.01)


def test_at_the_start_a_block_is_an_identity_and_its_shift_learns_nothing():
    block = recipes.rstg_block_official(6, 8)
    features = torch.randn(2, 3, 6, 7, 5)
    out = block(features).features
    assert torch.equal(out, features)
    out.square().sum().backward()
    assert block.norm.weight.grad.abs().sum() > 0
    assert block.norm.norm.bias.grad.abs().sum() == 0


def test_batch_norm_of_nodes_moves_as_tensorflow_does():
    model = recipes.rstg_sync_mnist_official(channels=8).train()
    seen = []
    model.net.layers["norm"].module.register_forward_hook(lambda *args: seen.append(args[1][0]))
    model(torch.rand(2, 3, 1, 64, 64))
    norm, nodes = model.net.layers["norm"].module, seen[0].detach()
    assert nodes.shape == (2 * 3 * 14, 8)
    torch.testing.assert_close(norm.running_mean, 0.01 * nodes.mean(0))
    torch.testing.assert_close(norm.running_var, 0.99 + 0.01 * nodes.var(0, correction=1))


EDGES = {
    "grid": (None, 90),
    "frame": (GridEdges((3, 2, 1), (50, 50)), 90),
    "full": (FullEdges(), 196),
    "full without loops": (FullEdges(loops=False), 182),
}
MAKERS = {
    "rstg_sync_mnist": (recipes.rstg_sync_mnist, (1, 2, 1, 64, 64), {"channels": 8}),
    "rstg_sync_mnist_official": (
        recipes.rstg_sync_mnist_official,
        (1, 2, 1, 64, 64),
        {"channels": 8},
    ),
    "rstg_block": (recipes.rstg_block, (1, 2, 6, 7, 7), {"channels": 6, "width": 8}),
    "rstg_block_official": (
        recipes.rstg_block_official,
        (1, 2, 6, 7, 7),
        {"channels": 6, "width": 8},
    ),
    "rstg_stage_official": (
        recipes.rstg_stage_official,
        (1, 2, 6, 7, 7),
        {"channels": 6, "width": 8},
    ),
}


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("name", MAKERS)
def test_neighbours_are_a_part_of_every_recipe(name, edges):
    make, sizes, options = MAKERS[name]
    builder, expected = EDGES[edges]
    graph = make(**options, edges=builder)(torch.rand(sizes)).graph
    assert graph.edge_index.size(1) == 2 * expected  # two frames


@pytest.mark.slow
def test_the_frame_reaches_the_edges_of_whole_models():
    with torch.device("meta"):
        edges = GridEdges((3, 2, 1), (256, 256))
        for make in (
            recipes.rstg_to_map,
            recipes.rstg_to_vec,
            recipes.rstg_to_map_official,
            recipes.rstg_to_vec_official,
            recipes.rstg_to_vec_serial_official,
        ):
            blocks = make(width=8, edges=edges).net.graph_blocks.values()
            stages = [block for block in blocks if isinstance(block, GraphStage)]
            assert stages
            assert all(stage.net.nodes.edges is edges for stage in stages)


def test_heads_have_a_projection_of_the_messages_each():
    one = recipes.rstg_block_official(6, 16)
    assert one.net.layers["space"].gather.value is None
    for heads in (2, 8):
        several = recipes.rstg_block_official(6, 16, heads=heads)
        assert count(several) - count(one) == 16 * 16 + 16
    model = recipes.rstg_sync_mnist_official(channels=16, heads=8)
    assert model(torch.rand(1, 2, 1, 64, 64)).logits.shape == (1, 46)


def test_the_serial_vector_is_all_that_is_classified():
    model = recipes.rstg_to_vec_serial_official(5, c2d_resnet50_official, 8).eval()
    stage = model.net.graph_blocks["layer4"]
    assert isinstance(stage, GraphStage)
    assert not isinstance(stage, GraphBlock)
    video = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        norm = stage.remap.norm
        assert torch.equal(model(video).logits, model.net.fc.bias[None])  # its scale starts at 0
        norm.weight.uniform_(0.5, 2)
        norm.norm.bias.normal_()
        answer = model(video)
        vector = answer.x.view(1, 2, 14, 2048).sum(2).mean(1)
        normed = norm.weight * (layer_norm(vector, [2048], eps=1e-12) + norm.norm.bias)
    torch.testing.assert_close(answer.logits, model.net.fc(normed), rtol=1e-4, atol=1e-4)


def test_rounds_positions_and_norms_are_arguments():
    five = schedules.all_temp_official(5, before=("norm",))
    model = recipes.rstg_sync_mnist_official(channels=8, schedule=five, positions=8)
    assert model.net.schedule == five
    assert model.net.layers["space"].send.position.size == 8
    plain = recipes.rstg_sync_mnist_official(channels=8, positions=None)
    assert plain.net.layers["space"].send.position is None
    bare = recipes.rstg_sync_mnist_official(
        channels=8, schedule=schedules.one_temp(before=("norm",))
    )
    assert sorted(bare.net.layers) == ["last", "norm", "space"]


@pytest.mark.slow
def test_the_parts_of_c2d_and_i3d_are_arguments():
    with torch.device("meta"):
        for make in (recipes.c2d, recipes.i3d):
            net = make(5, norm=FixedStatsBatchNorm3d, pool_padding=0, window=14, dropout=0.0).net
            assert isinstance(net.bn1, FixedStatsBatchNorm3d)
            assert net.maxpool.padding == (0, 0, 0)
            assert (net.avgpool.side, net.dropout.p) == (14, 0.0)
        blocks = [
            b for b in recipes.non_local_official().net.modules() if isinstance(b, NonLocalBlock)
        ]
    assert len(blocks) == 5
    assert all(isinstance(block.norm, FixedStatsBatchNorm3d) for block in blocks)
    assert not any(block.pool.ceil_mode for block in blocks)
    assert {tuple(block.pool.kernel_size) for block in blocks} == {(1, 2, 2)}  # space, not time


def test_any_function_may_make_the_update():
    made = recipes.rstg_sync_mnist_official(channels=16, update=partial(MLPUpdate, layers=3))
    plain = recipes.rstg_sync_mnist_official(channels=16)
    assert count(made) - count(plain) == 16 * 16 + 16
