from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from extracted import clips, contents, data, small
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch_geometric.data import Batch

from stgraph import SpaceTimeGraph, insert
from stgraph.applications.extract import extract
from stgraph.applications.graphing import Wanted, graphs_of
from stgraph.applications.sheets import _versions
from stgraph.backbones import ConvStack, resnet18
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier, GraphClassifier
from stgraph.datasets.graphs import InMemoryGraphs, OnDiskGraphs
from stgraph.edges import EdgeBuilder, FullEdges
from stgraph.explain import attention, stages
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.model import GraphBlock
from stgraph.nodes import BoxNodes, GridNodes
from stgraph.padding import pad_clips
from stgraph.recipes import dyreg_small
from stgraph.training import ClassificationModule


@pytest.fixture(scope="module")
def module() -> ClassificationModule:
    torch.manual_seed(0)
    return ClassificationModule(dyreg_small()).eval()


def test_frames_are_those_of_the_model(module: ClassificationModule, tmp_path: Path) -> None:
    sheet = extract(module, data(), tmp_path, wanted=Wanted(kernel=True), shard_clips=4)
    assert sheet == tmp_path / "datasheet.json"
    dataset, batch = InMemoryGraphs(tmp_path), clips().batch(range(8, 10))
    assert len(dataset) == 40
    assert dataset.num_classes == 11
    assert dataset.label_names == clips().label_names
    with torch.no_grad():
        answer = module.answer(batch)
        weights = attention(module.model.net, answer.graph)
        found = Batch.from_data_list(dataset[32:])
        again = module.model.net.process(found)
    (place,) = weights
    for name in ("x", "pos", "box", "kernel", "mass", "node_id", "time", "edge_index"):
        assert torch.equal(found[name], answer.graph[name]), name
    torch.testing.assert_close(found.edge_attr, weights[place][:, None])
    assert torch.equal(found.logits, answer.logits.repeat_interleave(4, 0))
    assert torch.equal(found.y, batch["label"].repeat_interleave(4))
    assert found.clip.tolist() == [8] * 4 + [9] * 4
    assert torch.equal(found.true_box, batch["box"].flatten(0, 1))
    # and they go on as if they came from the extractor
    assert torch.equal(again.x, answer.x)
    facts = json.loads(sheet.read_text())
    assert facts["edge_attr"] == [f"attention of 'space' at place {place}"]
    assert facts["counts"]["nodes"] == sum(graph.num_nodes for graph in dataset)
    assert facts["counts"]["edges"] == sum(graph.num_edges for graph in dataset)


def test_clips_are_space_time_graphs(module: ClassificationModule, tmp_path: Path) -> None:
    wanted = Wanted(graphs="clips", features="processed")
    extract(module, data(), tmp_path, wanted=wanted)
    dataset, batch = OnDiskGraphs(tmp_path), clips().batch([7])
    with torch.no_grad():
        answer = module.answer(clips().batch(range(4, 8)))
    graph = dataset[7]
    assert len(dataset) == 10
    assert torch.equal(graph.x, answer.x.view(4, -1, 32)[3])
    in_time = graph.edge_index[:, graph.edge_type == 1]
    assert in_time.size(1) == 3 * 9
    assert torch.equal(graph.node_id[in_time[0]], graph.node_id[in_time[1]])
    assert torch.equal(graph.time[in_time[0]] + 1, graph.time[in_time[1]])
    assert (graph.edge_attr[graph.edge_type == 1] == 0).all()
    assert torch.equal(graph.true_box, batch["box"][0])
    # the model's own readout is a mean and a linear map of what is kept
    own = module.model.classifier(graph.x.mean(0))
    torch.testing.assert_close(own, graph.logits[0], atol=1e-5, rtol=1e-5)
    assert "kernel" not in graph


@pytest.mark.parametrize("features", ["nodes", "position", "2", "time", "last"])
def test_features_of_a_place(features: str, module: ClassificationModule, tmp_path: Path) -> None:
    extract(module, data(), tmp_path, wanted=Wanted(features=features, attention="none"))
    net = module.model.net
    with torch.no_grad():
        graph = module.answer(clips().batch(range(4))).graph
        each = stages(net, graph)
    place = (
        int(features) if features.isdigit() else {"position": 0, "time": 2, "last": 4}.get(features)
    )
    expected = graph.x if place is None else each[place]
    found = Batch.from_data_list(InMemoryGraphs(tmp_path)[:16])
    assert torch.equal(found.x, expected)
    assert "edge_attr" not in found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            Wanted(features="5"),
            "features: expected one of nodes, processed, position, .* from 0 to 4",
        ),
        (Wanted(features="layer"), "features: expected one of nodes"),
        (
            Wanted(attention="2"),
            "attention: expected none, or a stage that weighs edges: 3, got '2'",
        ),
        (Wanted(place="layer4"), "place: expected one with a graph, of"),
    ],
)
def test_what_a_model_has_not(
    wanted: Wanted, told: str, module: ClassificationModule, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        extract(module, data(), tmp_path, wanted=wanted)
    assert not (tmp_path / "datasheet.json").exists()
    with pytest.raises(InputError, match="graphs: expected one of 'frames', 'clips'"):
        Wanted(graphs="videos")  # type: ignore[arg-type]


def test_half_precision_is_a_choice(module: ClassificationModule, tmp_path: Path) -> None:
    for name, half in (("exact", False), ("half", True)):
        extract(module, data(), tmp_path / name, wanted=Wanted(half=half))
    exact, half = (InMemoryGraphs(tmp_path / name) for name in ("exact", "half"))
    assert torch.equal(half[3].x, exact[3].x.half().float())
    assert not torch.equal(half[3].x, exact[3].x)
    assert torch.equal(half[3].pos, exact[3].pos)
    assert half[3].x.dtype == torch.float32
    sizes = [sum(map(len, contents(tmp_path / name).values())) for name in ("exact", "half")]
    assert sizes[1] < sizes[0]


def test_what_half_precision_cannot_hold_is_told(tmp_path: Path) -> None:
    module = ClassificationModule(small())
    for weight in module.model.backbone.parameters():
        weight.data.mul_(1e6)
    kept = {"shard_clips": 4, "wanted": Wanted(features="nodes")}
    extract(module, data(), tmp_path / "exact", **kept)
    wanted = Wanted(features="nodes", half=True)
    with pytest.raises(InputError, match=r"half: expected x below 65504, got .*: keep it exactly"):
        extract(module, data(), tmp_path / "half", wanted=wanted)


def test_labels_are_listed_by_their_numbers(module: ClassificationModule, tmp_path: Path) -> None:
    extract(module, data(clips(12, p_none=0.5)), tmp_path)
    counted = json.loads((tmp_path / "datasheet.json").read_text())["labels"]
    assert "10" in counted
    assert [int(label) for label in counted] == sorted(int(label) for label in counted)


def test_a_place_of_a_cnn(tmp_path: Path) -> None:
    def block(channels: int) -> GraphBlock:
        net = SpaceTimeGraph(
            GridNodes(channels, (2,), edges=FullEdges()),
            {"space": SpaceLayer(channels)},
            ("space",),
        )
        return GraphBlock(net)

    cnn = resnet18(num_classes=7)
    places = {
        "layer1": lambda place: block(place.channels),
        "layer3": lambda place: block(place.channels),
    }
    net = insert(cnn, places, input_size=(3, 32, 32))
    one = ClassificationModule(CNNClassifier(net, 7)).eval()
    videos = [{"video": torch.randint(0, 256, (2, 3, 32, 32)).byte()} for _ in range(3)]
    extract(one, data(videos), tmp_path / "last", wanted=Wanted(features="processed"))
    extract(one, data(videos), tmp_path / "first", wanted=Wanted(place="layer1"))
    last, first = InMemoryGraphs(tmp_path / "last"), InMemoryGraphs(tmp_path / "first")
    assert (last.num_node_features, first.num_node_features) == (256, 64)
    assert "y" not in first[0]
    assert first.num_classes == 7
    with pytest.raises(
        InputError, match=r"place: expected one with a graph, of \['layer1', 'layer3'\]"
    ):
        extract(one, data(videos), tmp_path / "none", wanted=Wanted(place="layer2"))


class Numbered(Dataset[dict[str, Any]]):
    """Clips with a number of their own, which a data set of one's own may have."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        video = torch.full((4, 1, 32, 32), 50 * index, dtype=torch.uint8)
        return {"video": video, "label": index, "index": 100 + 7 * index}


def test_clips_keep_the_numbers_that_they_come_with(
    module: ClassificationModule, tmp_path: Path
) -> None:
    extract(module, data(Numbered()), tmp_path, wanted=Wanted("clips"))
    assert [int(graph.clip) for graph in InMemoryGraphs(tmp_path)] == [100, 107, 114]


class Lengths(Dataset[dict[str, Any]]):
    """Clips of different lengths, with objects that come and go."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        frames = 2 + index % 3
        video = torch.randint(0, 256, (frames, 1, 32, 32)).byte()
        box = torch.tensor([0.1, 0.2, 0.5, 0.6]).expand(frames, 2, 4) + 0.01 * index
        present = torch.rand(frames, 2) < 0.7
        return {
            "video": video,
            "label": index % 4,
            "box": box,
            "present": present,
            "name": f"v{index}",
        }


class Padded(LightningDataModule):
    """A data module of a user, with a loader that joins clips in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def test_dataloader(self) -> Any:
        return DataLoader(Lengths(), batch_size=2, collate_fn=join)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.moved += 1
        return batch


def join(some: list[dict[str, Any]]) -> dict[str, Any]:
    video, mask = pad_clips([clip["video"] for clip in some])
    box, _ = pad_clips([clip["box"] for clip in some])
    present, _ = pad_clips([clip["present"] for clip in some])
    label = torch.tensor([clip["label"] for clip in some])
    names = [clip["name"] for clip in some]
    index = torch.tensor([clip["index"] for clip in some])
    return {
        "video": video,
        "frame_mask": mask,
        "box": box,
        "present": present,
        "label": label,
        "name": names,
        "index": index,
    }


@pytest.mark.parametrize("graphs", ["frames", "clips"])
def test_a_data_module_of_a_user_with_clips_of_all_lengths(graphs: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, user = ClassificationModule(small()), Padded()
    extract(module, user, tmp_path, wanted=Wanted(graphs=graphs))
    dataset = InMemoryGraphs(tmp_path)
    assert user.moved == 3
    lengths = [2 + k % 3 for k in range(5)]
    names = [graph.name for graph in dataset]
    if graphs == "clips":
        assert names == [f"v{k}" for k in range(5)]
        assert [graph.true_box.shape for graph in dataset] == [(n, 2, 4) for n in lengths]
        assert [graph.true_present.dtype for graph in dataset] == [torch.bool] * 5
    else:
        assert names == [f"v{k}" for k, n in enumerate(lengths) for _ in range(n)]
        assert all(graph.true_present.shape == (1, 2) for graph in dataset)
    total = sum(graph.num_nodes for graph in dataset)
    assert total == 4 * sum(lengths)


def test_a_model_that_wants_hints(tmp_path: Path) -> None:
    module = ClassificationModule(
        small(nodes=BoxNodes(8, edges=FullEdges())), hints={"boxes": "box"}
    )
    extract(module, data(), tmp_path)
    graph = InMemoryGraphs(tmp_path)[5]
    assert torch.equal(graph.box, graph.true_box[0])


def test_views_of_clips_without_names_have_those_of_their_clips() -> None:
    torch.manual_seed(0)
    module = ClassificationModule(small(), scale=nn.Identity()).eval()
    batch = {"video": torch.rand(3, 2, 4, 1, 32, 32), "label": torch.arange(3)}
    kept = graphs_of(module, batch, Wanted(graphs="clips"), [7, 8, 9], ["a", "b", "c"])
    values = {name: value for name, (value, _) in kept.rows.items()}
    assert values["name"] == ["a", "a", "b", "b", "c", "c"]
    assert torch.as_tensor(values["clip"]).tolist() == [7, 7, 8, 8, 9, 9]


def test_each_view_has_graphs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, videos = ClassificationModule(small()).eval(), torch.rand(3, 2, 4, 1, 32, 32)
    views = [{"video": video, "label": k, "name": f"v{k}"} for k, video in enumerate(videos)]
    module.scale = nn.Identity()
    extract(module, data(views), tmp_path / "frames")
    extract(module, data(views), tmp_path / "clips", wanted=Wanted(graphs="clips"))
    frames, wholes = InMemoryGraphs(tmp_path / "frames"), InMemoryGraphs(tmp_path / "clips")
    told = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert list(zip(wholes.clip.tolist(), wholes.view_id.tolist(), strict=True)) == told
    assert wholes.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert [frames[rows[0]].name for rows in frames.frames_of_clips()] == [f"v{b}" for b, _ in told]
    for rows, (clip, view), whole in zip(frames.frames_of_clips(), told, wholes, strict=True):
        with torch.no_grad():
            answer = module.answer({"video": videos[clip, view][None]})
        each = Batch.from_data_list([frames[k] for k in rows])
        assert each.view_id.tolist() == [view] * 4
        torch.testing.assert_close(each.x, answer.graph.x)
        torch.testing.assert_close(whole.logits, answer.logits)
    counts = json.loads((tmp_path / "clips/datasheet.json").read_text())["counts"]
    assert (counts["clips"], counts["graphs"]) == (3, 6)
    assert "`view_id`" in (tmp_path / "clips/README.md").read_text()


@pytest.mark.parametrize(("wish", "more"), [(None, 1), ("none", 0)])
@pytest.mark.parametrize(("sizes", "columns"), [((), 1), ((3,), 3), ((2, 2), 4)])
def test_fields_of_edges_that_no_frame_has_keep_their_columns(
    sizes: tuple[int, ...], columns: int, wish: str | None, more: int, tmp_path: Path
) -> None:
    class Lonely(EdgeBuilder):
        def edges(self, graph: Batch) -> tuple[Tensor, Tensor]:
            return torch.zeros(2, 0, dtype=torch.int64), graph.x.new_zeros(0, *sizes)

    module = ClassificationModule(dyreg_small(nodes=GridNodes(32, (2,), edges=Lonely())))
    extract(module, data(), tmp_path / "graphs", wanted=Wanted(attention=wish))
    graph = InMemoryGraphs(tmp_path / "graphs")[0]
    assert graph.num_edges == 0
    assert graph.edge_attr.shape == (0, columns + more)  # the attention of the last round is one
    facts = json.loads((tmp_path / "graphs" / "datasheet.json").read_text())
    assert len(facts["edge_attr"]) == columns + more


def test_graphs_without_edges_are_extracted(tmp_path: Path) -> None:
    layers = {"time": TimeLayer(nn.GRU(8, 8))}
    net = SpaceTimeGraph(GridNodes(8, (2,)), layers, ("time",))
    module = ClassificationModule(GraphClassifier(ConvStack(1, 8), net, 11))
    for wish in (None, "none"):
        folder = tmp_path / str(wish)
        extract(module, data(), folder, wanted=Wanted(attention=wish))
        graph = InMemoryGraphs(folder)[0]
        assert graph.num_nodes == 4
        assert "edge_index" not in graph
    for wish in ("1", "all"):
        with pytest.raises(InputError, match="attention: expected none"):
            extract(module, data(), tmp_path / "all", wanted=Wanted(attention=wish))


def test_models_without_graphs_are_refused(tmp_path: Path) -> None:
    class Blind(nn.Module):
        def forward(self, video: Tensor, state: Any = None) -> Any:
            return dyreg_small()(video)._replace(graph=None)

    with pytest.raises(InputError, match="model: expected one that makes graphs, got Blind"):
        extract(ClassificationModule(Blind()), data(), tmp_path / "a")
    with pytest.raises(InputError, match=r"data\.val: expected a dataset, got none"):
        extract(ClassificationModule(small()), data(), tmp_path / "c", "val")


def test_versions_of_what_is_there_are_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = metadata.version

    def version(name: str) -> str:
        if name == "torch-geometric":
            raise metadata.PackageNotFoundError(name)
        return whole(name)

    every = _versions()
    assert every["torch"] == whole("torch")
    monkeypatch.setattr(metadata, "version", version)
    assert _versions() == {name: told for name, told in every.items() if name != "torch-geometric"}


def test_of_several_rounds_the_attention_of_the_last_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = ClassificationModule(dyreg_small(rounds=3)).eval()
    kept = []
    for wish in (None, "all"):
        extract(module, data(), tmp_path / str(wish), wanted=Wanted(attention=wish))
        kept.append(InMemoryGraphs(tmp_path / str(wish))[0].edge_attr)
    assert kept[1].shape[1] == 3
    assert torch.equal(kept[0], kept[1][:, 2:])
    assert not torch.allclose(kept[0], kept[1][:, :1])
