"""Every node extractor keeps its promises, and a new one is found here by itself.

An extractor is built as ``Extractor(channels)``; hints that it needs come from its
``example_hints``.
"""

from __future__ import annotations

import pytest
import torch

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
