"""The page of measured speeds says what the figures do, and the figures can be measured."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch


@pytest.fixture
def benchmark(monkeypatch, request) -> ModuleType:
    root = request.config.rootpath
    monkeypatch.syspath_prepend(root / "benchmarks")
    return importlib.import_module(request.param)


@pytest.mark.parametrize("benchmark", ["pages"], indirect=True)
def test_the_page_says_what_the_figures_do(benchmark):
    assert benchmark.PAGE.read_text("utf-8") == benchmark.page()


@pytest.mark.parametrize("benchmark", ["speed"], indirect=True)
def test_a_block_keeps_at_most_a_third_of_a_straightforward_one(benchmark):
    straight = importlib.import_module("straightforward")
    for sizes in benchmark.CONFIGURATIONS.values():
        block = benchmark.block_of(sizes, torch.device("cpu"))
        plain = straight.Straightforward(block)
        features = torch.randn(*sizes[:4], sizes[3])
        kept = benchmark.saved_by(lambda: block(features).features)  # noqa: B023
        assert 3 * kept <= benchmark.saved_by(lambda: plain(features))  # noqa: B023


@pytest.mark.parametrize("benchmark", ["growth"], indirect=True)
def test_sparse_edges_cost_what_they_are(benchmark):
    graph = benchmark.graph_of(64, 8, 2, 4, torch.device("cpu"))
    assert graph.edge_index.size(1) == 2 * 64 * 8
    assert graph.num_graphs == 2


@pytest.mark.parametrize("benchmark", ["speed"], indirect=True)
def test_a_pass_is_timed_without_what_is_none_of_its_work(benchmark):
    """Gradients are not added to those of the last call, and those that come in are made once."""
    features, calls = torch.ones(3, requires_grad=True), []
    part = benchmark.trained(lambda: calls.append(0) or 2 * features, [features])
    counted = [benchmark.calls_of(part) for _ in range(2)]
    assert features.grad.tolist() == [2, 2, 2]
    assert counted[0] == counted[1]
    assert len(calls) == 3
