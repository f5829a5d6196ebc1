from __future__ import annotations

import pytest
import torch

from stgraph.checks import InputError
from stgraph.nodes import ConstantRegions, LargeGenerator, SmallGenerator


def regions() -> ConstantRegions:
    return ConstantRegions(8, generator=SmallGenerator(8), alpha=(0.5,) * 4)


def test_windows_stay_and_see_the_mean_of_the_clip():
    extractor, features = regions(), torch.randn(2, 5, 8, 12, 9)
    graph, _ = extractor(features)
    window = graph.window.view(2, 5, 9, 4)
    assert torch.equal(window, window[:, :1].expand_as(window))
    assert (window[0, 0] - window[1, 0]).abs().max() > 0
    assert (window[..., 0] == 3).all()  # H/6 + 1: the size is fixed
    alone, _ = extractor(features.mean(dim=1, keepdim=True))
    torch.testing.assert_close(alone.window.view(2, 9, 4), window[:, 0])
    shuffled, _ = extractor(features[:, torch.randperm(5)])
    torch.testing.assert_close(shuffled.window, graph.window)


def test_nodes_are_those_of_their_own_frames():
    extractor, features = regions(), torch.randn(1, 4, 8, 12, 9)
    graph, _ = extractor(features)
    expected = (graph.kernel[:9, None] * features[0, 2]).sum((2, 3))
    torch.testing.assert_close(graph.x[18:27], expected)


def test_a_stream_is_refused():
    extractor = regions()
    _, state = extractor(torch.randn(1, 1, 8, 12, 9))
    with pytest.raises(InputError, match="ConstantRegions needs the whole clip"):
        extractor(torch.randn(1, 1, 8, 12, 9), state)


def test_parameters_are_those_of_dynamic_regions_without_recurrence():
    extractor = ConstantRegions(32, generator=LargeGenerator(32, 9, 32, size=16))
    assert sum(p.numel() for p in extractor.parameters()) == 24_448 + 226_080 + 64 + 132 + 4


def test_bad_generators_are_refused():
    with pytest.raises(InputError, match="generator: expected one of channels=8"):
        ConstantRegions(8, generator=SmallGenerator(16))
