"""The page of measured speeds says what the figures do, and the figures can be measured."""

from __future__ import annotations

import importlib
import json
from functools import partial

import pytest
import torch

from stgraph import recipes


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


@pytest.mark.parametrize("benchmark", ["breakdown"], indirect=True)
def test_operators_have_kinds(benchmark):
    known = [name for names in benchmark.KINDS.values() for name in names]
    assert [name for name in known if not hasattr(torch.ops.aten, name)] == []
    kinds = {
        "aten::addmm_": "matrix products",
        "convolution_backward": "convolutions",
        "aten::native_group_norm_backward": "norms",
        "aten::sum": "reductions",
        "aten::copy_": "copies",
        "aten::sigmoid_": "elementwise",
        "aten::threshold_backward": "elementwise",
        **dict.fromkeys(("aten::view", "aten::linear", "aten::empty", "Sweep"), benchmark.REST),
    }
    assert {name: benchmark.kind_of(name) for name in kinds} == kinds


@pytest.mark.parametrize("benchmark", ["breakdown"], indirect=True)
def test_all_that_a_recurrence_runs_is_its_own(benchmark):
    """In both directions, PyTorch's as ours, and nothing of what comes after it."""
    gru, head = torch.nn.GRU(4, 4), torch.nn.Linear(4, 4)
    x = torch.randn(3, 2, 4, requires_grad=True)
    ours = importlib.import_module("stgraph.gru").Sweep
    runs = {
        "PyTorch's": lambda: gru(x)[0],
        "ours": lambda: ours.of(x, x.new_zeros(2, 4), *gru.all_weights[0])[0],
    }
    for run in runs.values():
        part = importlib.import_module("speed").trained(run, [*gru.parameters(), x])
        kinds = benchmark.by_kind(part, 1, torch.device("cpu"))
        assert kinds["recurrence"] > 0
        assert kinds["matrix products"] == 0
    learned = [*gru.parameters(), *head.parameters(), x]
    part = importlib.import_module("speed").trained(lambda: head(runs["ours"]()), learned)
    assert benchmark.by_kind(part, 1, torch.device("cpu"))["matrix products"] > 0


@pytest.mark.parametrize("benchmark", ["breakdown"], indirect=True)
def test_bytes_are_those_that_operators_read_and_write(benchmark):
    one, other = torch.zeros(8), torch.zeros(8)
    with benchmark.Traffic() as traffic:
        (one + other).view(2, 4) @ torch.ones(4, 4)
    assert traffic.bytes == 3 * 8 * 4 + 16 * 4  # a sum, and ones that are written


@pytest.mark.parametrize("benchmark", ["breakdown"], indirect=True)
def test_the_peak_is_what_is_held_at_once(benchmark):
    def part() -> None:
        one = torch.ones(1 << 18)  # 1 MiB
        one = one + 1  # while the first one is there, and then no more
        del one
        torch.ones(1 << 17)

    assert benchmark.peak_of(part, torch.device("cpu")) == pytest.approx(2 << 20, rel=0.01)


@pytest.mark.parametrize("benchmark", ["stream"], indirect=True)
def test_a_state_holds_what_its_tensors_are_views_of(benchmark):
    whole = torch.zeros(100)
    assert benchmark.bytes_of({"a": (whole[:1], whole[1:2]), "b": 3}) == 400
    assert benchmark.percentiles([*range(100, 0, -1)], "x") == {"x, p50": 51, "x, p99": 100}


@pytest.mark.parametrize("benchmark", ["suite"], indirect=True)
def test_the_suite_makes_what_the_page_is_made_of(benchmark, tmp_path):
    sections = set(benchmark.pages.SECTIONS)
    made = {name.split("-")[0] for suite in benchmark.SUITES.values() for name in suite}
    assert made - {"macs"} == sections
    for suite in benchmark.SUITES.values():
        for words in suite.values():
            line = benchmark.command(words, benchmark.ROOT / "runs/x.json")
            assert (benchmark.ROOT / line[1]).is_file()
            assert line[-1] == "runs/x.json"
    chosen = benchmark.chosen(benchmark.SUITES["cpu"], ["speed", "stream-cpu"])
    assert list(chosen) == ["speed-cpu-1", "speed-cpu-2", "speed-cpu-1-compiled", "stream-cpu"]
    path = tmp_path / "x.json"
    assert not benchmark.measured(path, "abc")
    path.write_text('{"commit": "abc"}')
    assert benchmark.measured(path, "abc")
    assert not benchmark.measured(path, "abd")
    path.write_text('{"commit": "abc with changes"}')
    assert not benchmark.measured(path, "abc with changes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "options", "rows"),
    [
        ("speed", ["--repeat", "1", "--compiled", "default"], 1),
        ("breakdown", ["--repeat", "1"], 8 + 1 + 2 + 1 + 8 + 2),
        ("growth", ["--repeat", "1"], 2 + 1 + 1 + 2 + 2 + 2),
        ("stream", ["--frames", "10"], 4 + 2),
        ("stream", ["--frames", "10", "--compiled"], 4 + 2),
        ("models", ["--repeat", "1", "--batch", "1"], 2 + 2),
    ],
    indirect=["benchmark"],
)
def test_a_benchmark_measures_all_that_the_page_needs(
    benchmark, options, rows, tmp_path, monkeypatch
):
    path = tmp_path / "figures.json"
    options = [*options, "--json", str(path), "--threads", str(torch.get_num_threads())]
    monkeypatch.setattr("sys.argv", [f"{benchmark.__name__}.py", *options])
    smaller = {
        "CONFIGURATIONS": {"small": (1, 2, 8, 16, 8)},
        "NODES": (4,),
        "FRAMES": (1,),
        "NEIGHBOURS": (8,),
        "RSTG_NODES": {1: (1,)},
        "WARM": 2,
        "CLIP": (2, 1, 128, 128),
        "STEPS": {"demonstration": 1, "full": 1},
        "models": lambda: {
            "TSM-ResNet-50": recipes.resnet18_multi_sync_mnist,
            "DyReG r4": recipes.dyreg_multi_sync_mnist,
        },
    }
    for name, value in smaller.items():
        if hasattr(benchmark, name):
            monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    benchmark.main()
    facts = json.loads(path.read_text("utf-8"))
    section = importlib.import_module("pages").SECTIONS[benchmark.__name__](facts)
    assert "\n".join(section).count("\n|") - 2 * "\n".join(section).count("\n| ---") == rows
    if benchmark.__name__ == "stream":
        early, late = facts["bytes"]["the state"]
        assert early == late > 0


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["against"], indirect=True)
def test_two_commits_take_turns(benchmark, tmp_path, monkeypatch):
    monkeypatch.setitem(benchmark.STEPS, "small", 1)
    if not (benchmark.ROOT / ".git").exists():
        pytest.skip("a copy without git")
    benchmark.unpack("HEAD", tmp_path)
    made = benchmark.compare(tmp_path.resolve(), "small", 1, 1)
    assert made["ratio"] == pytest.approx(made["here"] / made["there"])
    assert made["ratio, process time"] > 0
    facts = {"against": "HEAD", "device": "CPU", "threads": 1, "command": "", "machine": ""}
    facts |= {"versions": {"torch": ""}, "commit": "", "date": "", "trainings": {"small": made}}
    section = importlib.import_module("pages").against(facts)
    assert section[-1].count(" × |") == 2
    with pytest.raises(SystemExit), benchmark.side(tmp_path / "elsewhere", "small", 1):
        pass
