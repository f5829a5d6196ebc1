"""Every node extractor keeps its promises, and a new one is found here by itself.

An extractor is built as ``Extractor(channels)``; hints that it needs come from its
``example_hints``.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stgraph.nodes
from stgraph.checks import InputError
from stgraph.edges import FullEdges
from stgraph.nodes import NodeExtractor, Regions
from stgraph.testing import EXTRACTOR_LAWS, kinds


@pytest.mark.parametrize(
    "kind", kinds(stgraph.nodes, NodeExtractor), ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("law", EXTRACTOR_LAWS, ids=lambda law: law.__name__)
def test_an_extractor_keeps(law, kind):
    law(kind(8, edges=FullEdges()))


@pytest.mark.parametrize(
    "kind", kinds(stgraph.nodes, NodeExtractor), ids=lambda kind: kind.__name__
)
def test_a_single_frame_behind_a_frozen_batch_norm_has_its_own_gradients(kind):
    """PyTorch 2.13 mistakes a gradient that lies in memory in another order than the map."""
    torch.manual_seed(5)
    extractor, norm = kind(8, edges=FullEdges()).double(), nn.BatchNorm2d(8).double().eval()
    frames = torch.randn(2, 8, 7, 9, dtype=torch.float64)

    hints = extractor.example_hints(frames[:, None])

    def gradient(frames, clips):
        frames = frames[clips].clone().requires_grad_()
        own = {name: hint[clips] for name, hint in hints.items()}
        graph, _ = extractor(norm(frames)[:, None], **own)
        return torch.autograd.grad(graph.x.square().sum(), frames)[0]

    alone = torch.cat([gradient(frames, slice(clip, clip + 1)) for clip in range(2)])
    torch.testing.assert_close(gradient(frames, slice(2)), alone)


@pytest.mark.parametrize("name", ["x", "time", "ptr", "size", "class_index", "my_batch"])
def test_fields_of_an_extractor_may_not_collide(name):
    class Extra(NodeExtractor):
        def regions(self, features, state=None):
            b, t, _, h, w = features.shape
            box = features.new_tensor([0.0, 0, 1, 1]).expand(b, t, 1, 4)
            extra = {name: features.new_zeros(b, t, 1)}
            return Regions(features.new_ones(b, t, 1, h, w), box, extra=extra), None

    with pytest.raises(InputError, match="extra: expected fields with names of their own"):
        Extra(8)(torch.randn(1, 1, 8, 7, 9))
