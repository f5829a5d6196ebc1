"""Several heads, each with weights and, where there is one, a projection of the messages."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from stgraph.edges import FullEdges, GridEdges
from stgraph.layers import (
    AdditiveAttention,
    ConcatSend,
    DotAttention,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    MLPUpdate,
    RawDotAttention,
    ReplaceUpdate,
    SpaceLayer,
)

KINDS = (
    AdditiveAttention,
    DotAttention,
    LeakingAdditiveAttention,
    LeakingDotAttention,
    RawDotAttention,
)


def layer(kind, heads: int, value=nn.Linear) -> SpaceLayer:
    gather = kind(8, heads, value=value)
    made = SpaceLayer(8, ConcatSend(8, norm=None), gather, ReplaceUpdate(8, norm=None))
    for parameter in made.gather.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made.double()


@pytest.mark.parametrize("kind", KINDS)
def test_each_head_is_a_gather_of_its_own_with_its_rows_of_the_projection(kind, make_graph):
    graph, many = make_graph(GridEdges()), layer(kind, 4)
    parts = []
    for head in range(4):
        one = layer(kind, 1, partial(_narrow, 2))
        one.send = many.send
        rows = slice(2 * head, 2 * head + 2)
        with torch.no_grad():
            for name in ("query", "key"):
                mine, theirs = getattr(one.gather, name), getattr(many.gather, name)
                if isinstance(one.gather, DotAttention):  # a head's share of q and k; others are 0
                    mine.weight.zero_()
                    mine.bias.zero_()
                    mine.weight[rows], mine.bias[rows] = theirs.weight[rows], theirs.bias[rows]
                else:
                    mine.weight.copy_(theirs.weight[head : head + 1])
                    mine.bias.copy_(theirs.bias[head : head + 1])
            one.gather.value.weight.copy_(many.gather.value.weight[rows])
            one.gather.value.bias.copy_(many.gather.value.bias[rows])
            if many.gather.bias is not None:
                one.gather.bias = nn.Parameter(many.gather.bias[rows].clone())
        parts.append(one(graph.x, graph))
    torch.testing.assert_close(
        many(graph.x, graph), torch.cat(parts, dim=1), rtol=1e-10, atol=1e-10
    )


def _narrow(channels: int, width: int, same: int) -> nn.Linear:
    return nn.Linear(width, channels)


def test_without_heads_a_projection_is_one_more_linear_layer(make_graph):
    graph, with_value = make_graph(FullEdges()), layer(DotAttention, 1)
    without = layer(DotAttention, 1, None)
    without.load_state_dict({k: v for k, v in with_value.state_dict().items() if "value" not in k})
    with torch.no_grad():
        with_value.gather.value.weight.copy_(torch.eye(8))
        with_value.gather.value.bias.zero_()
    torch.testing.assert_close(with_value(graph.x, graph), without(graph.x, graph))


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention, RawDotAttention])
def test_sparse_is_dense(kind, graph):
    sparse = SpaceLayer(8, ConcatSend(8), kind(8, 2, value=nn.Linear), MLPUpdate(8), "sparse")
    dense = SpaceLayer(8, ConcatSend(8), kind(8, 2, value=nn.Linear), MLPUpdate(8), "dense")
    dense.load_state_dict(sparse.state_dict())
    torch.testing.assert_close(
        sparse.double()(graph.x, graph), dense.double()(graph.x, graph), rtol=1e-10, atol=1e-10
    )
