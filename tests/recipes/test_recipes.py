from __future__ import annotations

import pytest
import torch
from recipes_of_parts import PARTS_OF_MODELS

from stgraph import recipes, schedules
from stgraph.backbones import c2d_resnet50, i3d_resnet50
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.model import GraphBlock
from stgraph.nodes import (
    BoxNodes,
    DynamicRegions,
    FixedRegions,
    GridNodes,
    SemanticNodes,
    SmallGenerator,
    grid_anchors,
    official_small_generator,
)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_rstg_has_the_parameters_of_the_official_configuration():
    model = recipes.rstg_sync_mnist()
    layers = model.net.layers
    assert count(model.backbone) == 4_724_736
    assert count(layers["norm"]) == 1_024
    assert count(layers["time"]) == count(layers["last"]) == 2_101_248
    assert count(layers["space"].send) == 824_320
    assert count(layers["space"].gather) == 1_538
    assert count(layers["space"].update_nodes) == 787_456
    assert count(model.classifier) == 23_598
    assert count(model) == 10_565_168
    assert count(recipes.rstg_sync_mnist(positional=False)) == 10_565_168 - 824_320 + 787_456


def test_dyreg_has_the_parameters_of_table_7():
    model = recipes.dyreg_multi_sync_mnist()
    block = model.net.graph_blocks["layer2"]
    layers = block.net.layers
    assert count(block.project_in[0]) == 4_128
    assert count(block.project_in[1]) == 64
    assert count(block.project_out) == 4_224
    assert count(block.norm) == 256
    assert count(layers["position"]) == 8_224
    assert count(layers["time"]) == count(layers["last"]) == 6_336
    space = layers["space"]
    assert count(space.send.first) == count(space.gather.query) == count(space.gather.key) == 1_056
    norms = (layers["norm"], space.send.norm, space.update_nodes.norm)
    assert sum(map(count, norms)) == 192
    assert count(block) == 290_088
    assert count(model) - count(block) == 2_790_904
    assert count(model) == 3_080_992


# Models of DyReG's Table 7, published as 2.824, 3.081, 2.833 and 2.853 million, and what their
# extractors share of it. Lite's share counts a norm that the official code makes and never runs.
TABLE_7 = {
    "fixed": (lambda: FixedRegions(32, edges=FullEdges()), 0, 2_823_864),
    "grid": (lambda: GridNodes(32, (3,), edges=FullEdges()), 0, 2_823_864),
    "boxes": (lambda: BoxNodes(32, edges=FullEdges()), 0, 2_823_864),
    "full": (recipes.dyreg_regions, 257_128, 3_080_992),
    "lite": (
        lambda: DynamicRegions(
            32, edges=FullEdges(), generator=SmallGenerator(32, spare_norm=True)
        ),
        9_073,
        2_832_937,
    ),
    "semantic": (lambda: SemanticNodes(32, edges=FullEdges()), 29_104 + 297, 2_853_265),
}


@pytest.mark.parametrize("name", TABLE_7)
def test_the_models_of_table_7_have_the_official_parameters(name):
    nodes, own, total = TABLE_7[name]
    model = recipes.dyreg_multi_sync_mnist(nodes=nodes())
    assert count(model.net.graph_blocks["layer2"].net.nodes) == own
    assert count(model.net.graph_blocks["layer2"]) == 32_960 + own
    assert count(model) == total


def test_generators_have_the_official_parameters_module_by_module():
    full = recipes.dyreg_regions()
    large = full.generator
    convolutions = (large.project, large.a, large.b, large.up, large.head)
    assert list(map(count, convolutions)) == [1_056, 9_248, 4_624, 4_640, 4_624]
    norms = (large.norm_project, large.norm_a, large.norm_b, large.norm_up, large.norm_head)
    assert sum(map(count, norms)) == 256
    assert count(large.regions) == 226_080
    assert count(full.rnn) == 6_336
    assert count(full.norm_in) + count(full.norm_out) == 128
    assert count(full.offset) == 132
    assert full.alpha.numel() == 4
    lite = SmallGenerator(32, spare_norm=True)
    parts = (lite.masks, lite.position, lite.update, lite.spare)
    assert list(map(count, parts)) == [297, 1_056, 1_056, 64]
    assert not any(p.requires_grad for p in lite.spare.parameters())
    assert count(SmallGenerator(32)) == count(lite) - 64


def test_the_fixed_grid_classifies_clips():
    model = recipes.dyreg_multi_sync_mnist(nodes=GridNodes(32, (3,), edges=FullEdges()))
    assert model(torch.rand(1, 2, 1, 128, 128)).logits.shape == (1, 56)


def test_dyreg_classifies_clips():
    answer = recipes.dyreg_multi_sync_mnist()(torch.rand(1, 2, 1, 128, 128))
    assert answer.logits.shape == (1, 56)
    assert tuple(answer.graph.kernel.shape) == (18, 16, 16)


def test_rstg_classifies_clips():
    model = recipes.rstg_sync_mnist(channels=16)
    answer = model(torch.rand(2, 3, 1, 64, 64))
    assert answer.logits.shape == (2, 46)
    assert answer.graph.num_graphs == 6
    assert tuple(answer.graph.kernel.shape[1:]) == (6, 6)


@pytest.mark.parametrize("nodes", [None, "grid"])
def test_small_models_learn_what_they_are_shown(nodes):
    nodes = recipes.small_grid() if nodes else recipes.small_regions()
    model = recipes.dyreg_small(3, nodes)
    video, label = torch.rand(6, 3, 1, 32, 32), torch.arange(6) % 3
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(video).logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_small_block_is_an_identity_at_first():
    torch.manual_seed(0)
    model, video = recipes.residual_small().eval(), torch.rand(2, 3, 1, 48, 48)
    plain = recipes.frames_small().eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        answer = model(video)
        torch.testing.assert_close(answer.logits, plain(video).logits)
    assert tuple(answer.graph.kernel.shape) == (2 * 3 * 9, 12, 12)


ABLATIONS = {
    "all-temp": schedules.all_temp,
    "1-temp": schedules.one_temp,
    "space-only": schedules.space_only,
    "time-only": schedules.time_only,
    "homogeneous": schedules.homogeneous,
}


@pytest.mark.parametrize("positional", [False, True])
@pytest.mark.parametrize("name", ABLATIONS)
def test_the_ablations_of_rstg_are_schedules(name, positional):
    schedule = ABLATIONS[name](2, before=("norm",))
    model = recipes.rstg_sync_mnist(channels=8, schedule=schedule, positional=positional)
    assert set(model.net.layers) == set(schedule)
    assert model(torch.rand(1, 2, 1, 64, 64)).logits.shape == (1, 46)


def test_small_regions_start_on_a_grid_at_a_fifth_of_the_map():
    nodes = recipes.small_regions()
    assert nodes.alpha.tolist() == [0.0, 0.0, 0.5, 0.5]  # sizes gated off, places at half strength
    torch.nn.init.zeros_(nodes.alpha)
    graph, _ = nodes(torch.zeros(1, 1, 32, 8, 8))
    torch.testing.assert_close(graph.window[0], torch.tensor([8 / 5, 8 / 5, 8 / 6, 8 / 6]))
    thirds = torch.tensor([1, 3, 5]) / 6
    torch.testing.assert_close(graph.window[:, 2:] / 8, torch.cartesian_prod(thirds, thirds))


def test_an_unknown_stage_is_refused():
    with pytest.raises(InputError, match=r"schedule: expected names among .*got \['spice'\]"):
        recipes.rstg_sync_mnist(schedule=("spice",))


@pytest.mark.parametrize("make", [recipes.dyreg_tsm_resnet18, recipes.dyreg_tsm_resnet50])
def test_blocks_of_a_residual_network_have_as_many_rounds_as_they_are_told(make):
    with torch.device("meta"):
        model = make(5, rounds=2)
    blocks = [part for part in model.modules() if isinstance(part, GraphBlock)]
    assert blocks
    assert all(block.net.schedule.count("space") == 2 for block in blocks)


@pytest.mark.slow
def test_tsm_and_dyreg_have_the_official_parameters_module_by_module():
    model = recipes.dyreg_tsm_resnet50()
    shares = {
        place: {
            "total": count(block),
            "projections": count(block.project_in[0]) + count(block.project_out)
            if len(list(block.project_in.children()))
            else 0,
            "embedding": count(block.net.layers["position"]),
            "f": count(block.net.nodes.generator) - count(block.net.nodes.generator.regions),
            "g": count(block.net.nodes.generator.regions),
            "region cell": count(block.net.nodes.rnn),
            "linear": count(block.net.nodes.offset),
            "cells": count(block.net.layers["time"]) + count(block.net.layers["last"]),
            "send": count(block.net.layers["space"].send.first),
            "q, k": count(block.net.layers["space"].gather) - block.net.out_channels,
            "wrapper norm": count(block.norm),
        }
        for place, block in model.net.graph_blocks.items()
        if count(block)
    }
    assert {place: list(share.values()) for place, share in shares.items()} == {
        "layer2/2/conv2": [
            1_141_640, 0, 100_480, 27_520, 664_704, 99_072, 516, 198_144, 16_512, 33_024, 256,
        ],
        "layer3/4/conv2": [
            1_836_040, 0, 50_432, 31_616, 664_704, 99_072, 516, 789_504, 65_792, 131_584, 512,
        ],
        "layer4/1/conv2": [
            1_859_592, 262_912, 12_800, 31_616, 461_952, 99_072, 516, 789_504, 65_792, 131_584,
            1_024,
        ],
    }  # fmt: skip
    assert count(model) == 28_701_830
    assert count(recipes.dyreg_tsm_resnet50(places=("layer3.4.conv2",))) == 25_700_598
    assert count(recipes.tsm_resnet50()) == 23_864_558


# Of one graph, in millions, from the shapes of the official layers.
PLACES = {"layer1.1": 8.14, "layer2.2": 7.88, "layer3.4": 8.93}


@pytest.mark.parametrize("place", PLACES)
def test_rstg_adds_as_many_parameters_as_the_official_graph(place):
    model = recipes.rstg_to_map(places=(place,))
    assert round(count(model.net.graph_blocks) / 1e6, 2) == PLACES[place]
    assert count(model) - count(model.net.graph_blocks) == count(i3d_resnet50(174))


def test_the_vector_of_rstg_has_them_too():
    assert round(count(recipes.rstg_to_vec().net.graph_blocks) / 1e6, 2) == 9.99


def test_baselines_have_the_parameters_of_their_descriptions():
    assert round(count(recipes.mean_lstm()) / 1e6, 2) == 6.85
    assert round(count(recipes.conv_lstm()) / 1e6, 2) == 13.93
    assert round(count(recipes.i3d_sync_mnist()) / 1e6, 2) == 9.80
    more = count(recipes.non_local_sync_mnist()) - count(recipes.i3d_sync_mnist())
    assert round(more / 1e6, 2) == 0.53
    assert count(recipes.resnet18_multi_sync_mnist()) == 2_790_904


def boxes(clips: int, frames: int) -> torch.Tensor:
    low = torch.rand(clips, frames, 5, 2) * 0.5
    return torch.cat([low, low + 0.3], dim=-1)


# Every recipe at reduced size: the clip that it is given, and hints. A model of ResNet-50 keeps its
# width, and is given few small frames.
STEPS = {
    "rstg_sync_mnist": (lambda: recipes.rstg_sync_mnist(channels=16), (2, 2, 1, 64, 64)),
    "mean_lstm": (lambda: recipes.mean_lstm(channels=16), (2, 2, 1, 64, 64)),
    "conv_lstm": (lambda: recipes.conv_lstm(channels=16), (2, 2, 1, 64, 64)),
    "i3d_sync_mnist": (recipes.i3d_sync_mnist, (2, 4, 1, 32, 32)),
    "non_local_sync_mnist": (recipes.non_local_sync_mnist, (2, 4, 1, 32, 32)),
    "resnet18_multi_sync_mnist": (recipes.resnet18_multi_sync_mnist, (2, 2, 1, 64, 64)),
    "dyreg_multi_sync_mnist": (recipes.dyreg_multi_sync_mnist, (2, 2, 1, 64, 64)),
    "boxes": (
        lambda: recipes.dyreg_multi_sync_mnist(nodes=BoxNodes(32, edges=FullEdges())),
        (2, 2, 1, 64, 64),
    ),
    "dyreg_small": (recipes.dyreg_small, (2, 3, 1, 32, 32)),
    "frames_small": (recipes.frames_small, (2, 3, 1, 48, 48)),
    "residual_small": (recipes.residual_small, (2, 3, 1, 48, 48)),
    "motion_classes": (lambda: recipes.motion_classes(width=16), (2, 3, 1, 64, 64)),
    "motion_small": (recipes.motion_small, (2, 3, 1, 48, 48)),
    "motion_subsets": (lambda: recipes.motion_subsets(width=16), (2, 3, 1, 64, 64)),
    "small_video": (lambda: recipes.small_video(4), (2, 3, 3, 48, 48)),
    "tsm_resnet50": (recipes.tsm_resnet50, (2, 2, 3, 64, 64)),
    "dyreg_tsm_resnet18": (recipes.dyreg_tsm_resnet18, (2, 2, 3, 64, 64)),
    "dyreg_tsm_resnet50": (recipes.dyreg_tsm_resnet50, (2, 2, 3, 64, 64)),
    "r4, lite, online": (
        lambda: recipes.dyreg_tsm_resnet50(
            places=("layer3.4.conv2",),
            generator=official_small_generator,
            anchors=grid_anchors,
            online=True,
        ),
        (2, 2, 3, 64, 64),
    ),
    "c2d": (recipes.c2d, (2, 4, 3, 32, 32)),
    "i3d": (recipes.i3d, (2, 4, 3, 32, 32)),
    "non_local_i3d": (recipes.non_local_i3d, (2, 4, 3, 32, 32)),
    "c2d_official": (recipes.c2d_official, (2, 4, 3, 32, 32)),
    "i3d_official": (recipes.i3d_official, (2, 4, 3, 32, 32)),
    "non_local_official": (recipes.non_local_official, (2, 4, 3, 48, 48)),
    "rstg_sync_mnist_official": (
        lambda: recipes.rstg_sync_mnist_official(channels=16, heads=8),
        (2, 2, 1, 64, 64),
    ),
    "rstg_to_map_official": (lambda: recipes.rstg_to_map_official(width=16), (2, 4, 3, 32, 32)),
    "rstg_to_vec_official": (lambda: recipes.rstg_to_vec_official(width=16), (2, 4, 3, 32, 32)),
    "rstg_to_vec_serial_official": (
        lambda: recipes.rstg_to_vec_serial_official(width=16),
        (2, 4, 3, 32, 32),
    ),
    "rstg_to_map": (lambda: recipes.rstg_to_map(width=16), (2, 4, 3, 32, 32)),
    "rstg_to_map in C2D": (
        lambda: recipes.rstg_to_map(places=("layer1.1",), cnn=c2d_resnet50, width=16),
        (2, 4, 3, 32, 32),
    ),
    "rstg_to_vec": (lambda: recipes.rstg_to_vec(width=16), (2, 4, 3, 32, 32)),
}


def test_no_recipe_is_forgotten():
    assert set(recipes.__all__) - PARTS_OF_MODELS <= set(STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_of_every_recipe(name):
    torch.manual_seed(0)
    make, sizes = STEPS[name]
    model = make().train()
    for module in model.modules():
        if isinstance(module, GraphBlock):
            torch.nn.init.constant_(module.norm.weight, 0.1)  # asleep, only its norm would learn
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    video, hints = torch.rand(sizes), {"boxes": boxes(*sizes[:2])} if name == "boxes" else {}
    label = torch.arange(sizes[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    answer = model(video, **hints)
    assert answer.logits.shape == (sizes[0], model.num_classes)
    before = torch.nn.functional.cross_entropy(answer.logits, label)
    before.backward()
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert not {name for name, p in learning.items() if p.grad is None}
    assert all(p.grad.isfinite().all() for p in learning.values())
    optimizer.step()
    with torch.no_grad():
        after = torch.nn.functional.cross_entropy(model(video, **hints).logits, label)
    assert after < before


@pytest.mark.parametrize("side", [8, 16])
def test_a_small_model_of_videos_is_made_for_frames_of_any_size(side):
    model = recipes.small_video(3, map_size=side).eval()
    sizes = [part.shape for part in model.net.layers["position"].parameters()]
    assert (32, side**2) in sizes
    with torch.no_grad():
        assert model(torch.rand(1, 2, 3, 4 * side, 4 * side)).logits.shape == (1, 3)


@pytest.mark.parametrize(("width", "message"), [(6, "a multiple of 4, got 6"), (0, "at least 1")])
@pytest.mark.parametrize("make", [recipes.motion_classes, recipes.motion_subsets])
def test_nodes_have_a_width_that_a_cnn_can_halve_twice(make, width, message):
    with pytest.raises(InputError, match=f"width: expected .*{message}"):
        make(width=width)
    assert make(4, 4, width=4)(torch.rand(1, 2, 1, 32, 32)).logits.shape == (1, 4)


def test_windows_are_as_large_as_they_are_told_to_be():
    video = torch.rand(1, 2, 1, 128, 128)
    for told in (0.11, 0.2):
        model = recipes.motion_subsets(4, 4, width=4, half_size=told)
        graph = model(video).graph
        torch.testing.assert_close(graph.window[:, :2] / 32, torch.full((8, 2), told))
        assert model.net.layers["fate"].apart == told / 2
    for size in (0.0, 1.1, float("inf"), float("nan"), "0.2", None, True):
        with pytest.raises(InputError, match=r"half_size: expected a number (above|from) 0"):
            recipes.motion_subsets(half_size=size)
