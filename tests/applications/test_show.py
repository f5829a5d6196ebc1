from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch_geometric.nn import GATv2Conv

from stgraph import SpaceTimeGraph, viz
from stgraph.applications.show import _check, _single, run, view, view_of
from stgraph.checks import InputError
from stgraph.classifiers import Answer, GraphClassifier
from stgraph.cli import main
from stgraph.datasets import SyncMNIST, sklearn_digits
from stgraph.datasets.videos import CentreClips, ProtocolClips, protocol
from stgraph.edges import FullEdges
from stgraph.explain import attention
from stgraph.layers import GraphConv, HomogeneousLayer, SpaceLayer
from stgraph.nodes import BoxNodes, GridNodes
from stgraph.recipes import dyreg_small
from stgraph.training import ClassificationModule


def clips() -> SyncMNIST:
    return SyncMNIST(
        sklearn_digits(), num_digits=3, num_classes=5, frames=4, canvas=32, size=32, length=8
    )


def test_a_view_is_of_the_clip_asked_for() -> None:
    torch.manual_seed(0)
    dataset, module = clips(), ClassificationModule(dyreg_small())
    seen = view(module, dataset, 5)
    batch = dataset.batch([5])
    assert torch.equal(seen.video, batch["video"][0])
    assert seen.label == dataset.label_names[int(batch["label"])]
    module.eval()
    logits = module(batch["video"]).logits[0].detach()
    assert seen.prediction == dataset.label_names[int(logits.argmax())]
    assert seen.confidence == pytest.approx(float(logits.softmax(0).max()))


def test_its_attention_is_that_of_the_last_round_and_sums_to_one() -> None:
    torch.manual_seed(0)
    seen = view(ClassificationModule(dyreg_small()), clips(), 0)
    assert seen.alpha is not None
    sums = torch.zeros(seen.graph.num_nodes).index_add(0, seen.graph.edge_index[1], seen.alpha)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("kind", ["homogeneous", "gat"])
def test_attention_of_every_kind_of_layer_is_shown(kind: str) -> None:
    layers = {
        "homogeneous": lambda: HomogeneousLayer(SpaceLayer(8)),
        "gat": lambda: GraphConv(GATv2Conv(8, 8), 8),
    }
    net = SpaceTimeGraph(
        GridNodes(8, (2,), edges=FullEdges()), {"own": layers[kind]()}, ("own",) * 2
    )
    model = GraphClassifier(torch.nn.Conv2d(1, 8, 3), net, 11)
    seen = view(ClassificationModule(model), clips(), 0)
    out = net.eval()
    with torch.no_grad():
        graph = model(ClassificationModule(model).scale(clips().batch([0])["video"])).graph
        expected = attention(out, graph)[1]
    assert seen.alpha is not None
    torch.testing.assert_close(seen.alpha, expected)


def test_a_layer_outside_of_any_graph_is_shown() -> None:
    """A model of one's own may call a space layer itself."""

    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nodes = GridNodes(1, (2,), edges=FullEdges())
            self.space = SpaceLayer(1)

        def forward(self, video: torch.Tensor, state: Any = None) -> Any:
            graph, _ = self.nodes(video)
            x = self.space(graph.x, graph)
            return Answer(x.view(len(video), -1)[:, :5], x, graph, None)

    seen = view(ClassificationModule(Own()), clips(), 0)
    assert seen.alpha is not None


@pytest.mark.parametrize("training", [True, False])
def test_a_view_leaves_the_model_as_it_was(training: bool) -> None:
    module = ClassificationModule(dyreg_small()).train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    view(module, clips(), 0)
    assert all(part.training is training for part in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not any(layer._forward_pre_hooks for layer in module.modules())


def test_numbers_of_clips_that_there_are_not_are_told() -> None:
    _check(range(6, 8), 8)
    for numbers, told in ((range(6, 9), "6 to 8"), (range(8, 9), "8")):
        with pytest.raises(InputError, match=f"indices: .* from 0 to 7, got {told}$"):
            _check(numbers, 8)
    for options in ({"index": -1}, {"count": 0}):
        with pytest.raises(InputError, match=f"{next(iter(options))}: expected a whole number"):
            run(**options)


def test_a_model_without_graphs_is_told() -> None:
    class Blind(torch.nn.Module):
        def forward(self, video: torch.Tensor, state: Any = None) -> Any:
            return dyreg_small()(video)._replace(graph=None)

    with pytest.raises(InputError, match="model: expected one that makes graphs, got Blind"):
        view(ClassificationModule(Blind()), clips(), 0)


@pytest.mark.slow
def test_show_writes_a_page_of_a_run(
    config: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    digits = {"class_path": "stgraph.datasets.sklearn_digits"}
    sizes = {"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32, "length": 8}
    dataset = {
        "class_path": "stgraph.datasets.SyncMNIST",
        "init_args": {"digits": digits, **sizes},
    }
    changes = {f"data.{stage}": dataset for stage in ("train", "val", "test")}
    path = config({**changes, "model.model": {"class_path": "stgraph.recipes.dyreg_small"}})
    assert main(["fit", "--config", path, "--trainer.max_epochs=1"]) == 0
    saved = yaml.safe_load(Path("runs/small/config.yaml").read_text())
    ckpt = ["--ckpt", "runs/small/checkpoints/last.ckpt"]
    assert main(["show", *ckpt, "--index", "2", "--out", "page.html"]) == 0
    written = Path("page.html").read_text()
    assert "<html" in written
    assert f"stgraph show {' '.join(ckpt)} --split test --index 2 --count 1" in written
    assert f"{ckpt[1]}, test clips from 2" in written
    assert saved == yaml.safe_load(Path("runs/small/config.yaml").read_text())
    capsys.readouterr()
    assert main(["show", *ckpt, "--index", "8", "--out", "other.html"]) == 2
    assert "indices: expected clip numbers from 0 to 7" in capsys.readouterr().err
    assert main(["show", "--ckpt", "no.ckpt"]) == 2
    assert "no.ckpt, which does not exist" in capsys.readouterr().err
    assert not Path("other.html").exists()


def test_a_model_that_wants_hints_is_shown_with_them() -> None:
    nodes = BoxNodes(32, edges=FullEdges())
    module = ClassificationModule(dyreg_small(nodes=nodes), hints={"boxes": "box"})
    seen = view(module, clips(), 1)
    assert seen.alpha is not None


class Twice:
    """Clips of two views, of which the second is mirrored; with a field of neither."""

    def __init__(self) -> None:
        self.clips = clips()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.clips.batch([index])
        two = {name: torch.cat([batch[name], batch[name].flip(1)]) for name in ("video", "box")}
        return {**two, "label": int(batch["label"]), "matrix": torch.eye(3)}


def test_of_several_views_the_first_is_shown_with_its_boxes() -> None:
    torch.manual_seed(0)
    nodes = BoxNodes(32, edges=FullEdges())
    module = ClassificationModule(dyreg_small(nodes=nodes), hints={"boxes": "box"})
    one, first = view(module, clips(), 1), view(module, Twice(), 1)
    assert torch.equal(one.video, first.video)
    assert torch.equal(one.graph.box, first.graph.box)
    assert first.confidence == pytest.approx(one.confidence, abs=1e-6)


class Photographs(torch.nn.Module):
    """A model of coloured frames of 224 pixels, with a graph of 17 nodes."""

    def __init__(self) -> None:
        super().__init__()
        nodes = GridNodes(8, (4, 1), edges=FullEdges())
        net = SpaceTimeGraph(nodes, {"space": SpaceLayer(8)}, ("space",))
        self.inner = GraphClassifier(torch.nn.Conv2d(3, 8, 16, 16), net, 5)

    def forward(self, video: torch.Tensor, state: Any = None) -> Any:
        return self.inner(video, state)


@pytest.mark.slow
def test_a_page_of_coloured_frames_is_bounded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (1, 32, 3, 224, 224), dtype=torch.uint8)
    seen = view_of(ClassificationModule(Photographs()), {"video": noise}, list("abcde"))
    assert seen.label == ""
    assert seen.prediction in "abcde"
    page = viz.show(tmp_path / "page.html", [seen])
    assert page.stat().st_size < 5_000_000  # 32 frames of noise without losses take 20


@pytest.mark.parametrize("name", ["1x1", "3x2", "11x2"])
def test_of_a_video_one_clip_is_shown_however_many_a_test_takes(name: str) -> None:
    rule = protocol(name, size=16)
    one = _single(rule)
    assert isinstance(one, ProtocolClips)
    assert (one.samplings, one.crops.count) == (1, 1)
    assert one.sampler == rule.sampler
    assert (one.crops.size, one.crops.side) == (rule.crops.size, rule.crops.side)
    assert len(one.views(20, 30, np.zeros(0, np.uint64))) == 1
    other = CentreClips()
    assert _single(other) is other


@pytest.mark.slow
def test_show_writes_a_page_of_a_video(
    config: Callable[..., str], video_file: Callable[..., Path], capsys
) -> None:
    digits = {"class_path": "stgraph.datasets.sklearn_digits"}
    sizes = {"num_digits": 3, "num_classes": 5, "frames": 4, "canvas": 32, "size": 32, "length": 8}
    test = {"class_path": "stgraph.datasets.SyncMNIST", "init_args": {"digits": digits, **sizes}}
    model = {"class_path": "stgraph.recipes.dyreg_small"}
    folder = Path(config({"data.test": test, "model.model": model})).parent
    (folder / "checkpoints").mkdir()
    torch.manual_seed(0)
    saved = {"state_dict": ClassificationModule(dyreg_small()).state_dict()}
    torch.save(saved, folder / "checkpoints" / "last.ckpt")
    for number in range(2):
        video_file(folder / "clips" / f"{number}.mp4")
    options = ["--video", "clips", "--ckpt", ".", "--out", "page.html"]
    assert main(["show", *options, "--count", "2", "--frames", "6"]) == 0
    page = Path("page.html").read_text()
    assert "Clip 1: 0.mp4" in page
    assert "Clip 2: 1.mp4" in page
    assert "6 frames" in page
    assert "--video clips --frames 6" in page
    assert "PyAV" in page
    capsys.readouterr()
    assert main(["show", *options, "--index", "2"]) == 2
    assert "clip numbers from 0 to 1, got 2" in capsys.readouterr().err
    assert main(["show", "--ckpt", ".", "--frames", "3"]) == 2
    assert "none without --video" in capsys.readouterr().err
