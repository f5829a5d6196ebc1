from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.kernels import normalise
from stgraph.nodes import HourGlass, SemanticNodes, spatial_softmax


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parameters_of_the_multi_sync_model():
    nodes = SemanticNodes(32)
    body = nodes.body
    assert count(body.project) == 1_056
    assert count(body.a, body.b) == 13_872
    assert count(body.up_a, body.up_b) == 13_888
    norms = [module for name, module in body.named_children() if name.startswith("norm")]
    assert count(*norms) == 288
    assert count(body) == 29_104
    assert count(nodes.maps) == 297
    assert count(nodes) == 29_104 + 297


@pytest.mark.parametrize("height", [1, 2, 5, 16])
@pytest.mark.parametrize("width", [1, 7, 8, 17])
def test_the_hour_glass_keeps_the_size_of_the_map(height, width):
    assert HourGlass(4)(torch.randn(2, 4, height, width)).shape == (2, 32, height, width)


@pytest.mark.parametrize("height", [1, 2, 5])
def test_a_map_of_one_column_has_gradients_in_half_precision(height):
    body, maps = HourGlass(4).bfloat16(), torch.randn(3, 4, height, 1).bfloat16()
    strided = [body.a.weight, body.up_a.weight]
    for _ in range(5):
        # Memory that is handed out next, of the sizes of the gradients, is full of NaN.
        del [torch.full_like(weight, torch.nan) for weight in strided for _ in range(8)][:]
        for grad in torch.autograd.grad(body(maps).float().square().sum(), strided):
            assert grad.isfinite().all()
            assert grad[..., [0, 2]].eq(0).all()  # nothing is beside the column
            assert grad[..., 1].ne(0).any()


def test_the_second_column_of_a_map_of_one_changes_nothing():
    body, maps = HourGlass(4).double(), torch.randn(3, 4, 5, 1, dtype=torch.float64)
    x = body.norm_project(body.project(maps).relu())
    a = body.norm_a(body.a(x).relu())
    up = body.norm_up_b(body.up_b(body.norm_b(body.b(a).relu())).relu()) + a
    expected = body.norm_up_a(body.up_a(up, output_size=(5, 1)).relu()) + x
    torch.testing.assert_close(body(maps), expected)


def test_the_hour_glass_has_the_official_sizes_and_skips():
    body = HourGlass(4)
    seen = {}
    for name, module in body.named_children():
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    out = body(torch.randn(2, 4, 16, 16))
    assert seen["a"].shape == (2, 32, 8, 8)
    assert seen["b"].shape == (2, 16, 8, 8)
    assert seen["up_a"].shape == (2, 32, 16, 16)
    torch.testing.assert_close(out, seen["norm_up_a"] + seen["norm_project"])
    inner = seen["norm_up_b"] + seen["norm_a"]
    torch.testing.assert_close(seen["up_a"], body.up_a(inner, output_size=(16, 16)))


@pytest.mark.parametrize("positive", [nn.functional.softplus, torch.relu, torch.exp])
def test_kernels_are_the_predicted_maps(positive):
    nodes, features = SemanticNodes(8, 5, positive=positive), torch.randn(2, 3, 8, 6, 9)
    graph, _ = nodes(features)
    logits = nodes.maps(nodes.body(features.flatten(0, 1))).flatten(0, 1)
    expected, mass = normalise(positive(logits))
    torch.testing.assert_close(graph.kernel, expected)
    torch.testing.assert_close(graph.mass, mass)


def test_softmax_over_positions_is_a_part():
    torch.manual_seed(1)
    nodes, features = SemanticNodes(8, 5, positive=spatial_softmax), torch.randn(2, 3, 8, 6, 9)
    graph, _ = nodes(features)
    torch.testing.assert_close(graph.mass, torch.ones(30))
    nodes.positive = torch.exp  # which normalised is the same
    other, _ = nodes(features)
    torch.testing.assert_close(other.kernel, graph.kernel)
    assert "positive=" in repr(nodes)


def test_the_box_finds_where_a_map_is():
    class Map(nn.Module):
        out_channels = 2

        def forward(self, x):
            return x

    nodes = SemanticNodes(2, 2, body=Map(), positive=torch.relu)
    with torch.no_grad():
        nodes.maps.weight.copy_(torch.eye(2)[..., None, None])
        nodes.maps.bias.zero_()
    features = torch.zeros(1, 1, 2, 8, 10)
    features[0, 0, 0, 2:5, 4:9] = 3.0
    features[0, 0, 1, 7, 0] = 1.0
    graph, _ = nodes(features)
    expected = torch.tensor([[0.4, 0.25, 0.9, 0.625], [0, 0.875, 0.1, 1]])
    torch.testing.assert_close(graph.box, expected, atol=1e-3, rtol=0)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="body: expected a module with `out_channels`"):
        SemanticNodes(8, body=nn.Identity())
    body = nn.Conv2d(8, 4, 3, stride=2)
    with pytest.raises(InputError, match=r"body: expected \[1, 9, 6, 6\], got \[1, 9, 2, 2\]"):
        SemanticNodes(8, body=body)(torch.randn(1, 1, 8, 6, 6))
