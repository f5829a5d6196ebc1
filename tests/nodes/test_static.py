from __future__ import annotations

import torch

from stgraph.nodes import FixedRegions, FixedSizeWindows, StaticRegions, Windows, centre_anchors


def test_they_start_at_their_anchors():
    features = torch.randn(2, 3, 8, 12, 9)
    graph, _ = StaticRegions(8)(features)
    fixed, _ = FixedRegions(8, windows=FixedSizeWindows(), anchors=centre_anchors)(features)
    torch.testing.assert_close(graph.window, fixed.window)
    torch.testing.assert_close(graph.x, fixed.x)


def test_windows_are_one_for_the_data_set():
    regions = StaticRegions(8, alpha=(0.4,) * 4)
    graph, _ = regions(torch.randn(2, 3, 8, 12, 9))
    window = graph.window.view(6, 9, 4)
    assert torch.equal(window, window[:1].expand_as(window))
    assert window[0, :, 2].std() > 0
    offset = regions.alpha * (regions.z @ regions.offset.weight.T + regions.offset.bias)
    expected = 6 * torch.tanh(offset[:, 2]) + 6
    torch.testing.assert_close(window[0, :, 2], expected.clamp(0, 11))
    assert (window[..., 0] == 3).all()


def test_sizes_can_be_learned_too():
    regions = StaticRegions(8, windows=Windows(), alpha=(0.4,) * 4)
    graph, _ = regions(torch.randn(1, 1, 8, 12, 9))
    assert graph.window[:, 0].std() > 0


def test_permuting_the_vectors_permutes_the_nodes():
    regions = StaticRegions(8, alpha=(0.4,) * 4)
    features = torch.randn(1, 2, 8, 12, 9)
    before, _ = regions(features)
    order = torch.randperm(9)
    with torch.no_grad():
        regions.z.copy_(regions.z[order])
    after, _ = regions(features)
    torch.testing.assert_close(after.x.view(2, 9, 8), before.x.view(2, 9, 8)[:, order])


def test_they_learn_where_to_look():
    regions, wanted = StaticRegions(2, 3, width=8), torch.tensor([2.0, 6.0])
    place = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij"))
    optimiser = torch.optim.Adam(regions.parameters(), lr=0.05)
    for _ in range(100):
        graph, _ = regions(place[None, None])  # the features of a cell are its row and column
        optimiser.zero_grad()
        (graph.x - wanted).square().sum().backward()
        optimiser.step()
    assert (graph.window[:, 2:] - wanted).abs().max() < 0.1


def test_parameters():
    regions = StaticRegions(32, 9, width=32)
    assert sum(p.numel() for p in regions.parameters()) == 9 * 32 + 132 + 4
