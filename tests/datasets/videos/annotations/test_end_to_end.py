"""From files of videos and boxes to frame graphs whose nodes are born and die."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stgraph.datasets import ItemLoader
from stgraph.datasets.videos import (
    CentreClips,
    Crops,
    Entry,
    Flips,
    MultiScaleCrops,
    Segments,
    TrainClips,
    VideoClips,
)
from stgraph.datasets.videos.annotations import PngMasks, SomethingElseBoxes
from stgraph.edges import FullEdges
from stgraph.graph import layout_of, presence, to_dense, validate
from stgraph.layers import Readout, SpaceLayer, TimeLayer
from stgraph.model import SpaceTimeGraph
from stgraph.nodes import BoxNodes, MaskNodes
from stgraph.training import ClassificationModule

av = pytest.importorskip("av")
image = pytest.importorskip("PIL.Image")

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def things(video: int, t: int) -> dict[str, tuple[int, int, int, int]]:
    """Where things are: one that leaves on the left, and a hand that comes in the middle."""
    boxes = {}
    left = 40 - 6 * t + 4 * video
    if left + 16 > 0:
        boxes["0000"] = (left, 8, left + 16, 24)
    if t >= 6:
        boxes["hand"] = (40, 26, 56, 46)
    return boxes


@pytest.fixture
def files(tmp_path, something_else):
    """Two videos, with the boxes of their things as JSON and their masks as PNG."""
    for video in range(2):
        folder = tmp_path / "masks" / str(video)
        folder.mkdir(parents=True)
        with av.open(str(tmp_path / f"{video}.webm"), "w") as container:
            stream = container.add_stream("libvpx-vp9", rate=12, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for t in range(FRAMES):
                pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
                values = np.zeros((HEIGHT, WIDTH), np.uint8)
                for number, (x1, y1, x2, y2) in enumerate(things(video, t).values(), 1):
                    x1, x2 = max(x1, 0), max(x2, 0)
                    hand = y1 == 26
                    pixels[y1:y2, x1:x2] = (30, 30, 250) if hand else (250, 30, 30)
                    values[y1:y2, x1:x2] = 2 if hand else 1
                    assert number < 3
                image.fromarray(values).save(folder / f"{t:05d}.png")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())
    boxes = {str(v): {t + 1: things(v, t) for t in range(FRAMES)} for v in range(2)}
    something_else(tmp_path / "boxes.json", boxes)
    return tmp_path


def clips(files: Path, rule, annotations) -> VideoClips:
    entries = [Entry(files / f"{v}.webm", v, str(v)) for v in range(2)]
    return VideoClips(entries, ["one", "two"], rule, annotations)


class Net(nn.Module):
    """The frames themselves are the features; what they become is kept for the test to see."""

    def __init__(self, nodes) -> None:
        super().__init__()
        self.graph = SpaceTimeGraph(
            nodes=nodes,
            layers={"time": TimeLayer(nn.GRU(3, 3)), "space": SpaceLayer(3)},
            schedule=("time", "space"),
        )
        self.readout, self.answer = Readout(), nn.Linear(3, 2)
        self.seen = []

    def forward(self, video, state=None, frame_mask=None, **hints):
        x, graph, _ = self.graph(video, None, frame_mask=frame_mask, **hints)
        self.seen.append(graph)
        return SimpleNamespace(logits=self.answer(self.readout(x, graph)))


RULES = [
    CentreClips(Segments(FRAMES), Crops(1, 40, 44)),
    TrainClips(Segments(FRAMES), MultiScaleCrops(32), Flips(0.5, {"one": "one", "two": "two"})),
]


@pytest.mark.parametrize("rule", RULES, ids=["centre", "train"])
def test_nodes_of_files_are_where_things_are_seen(files, rule):
    data = clips(files, rule, SomethingElseBoxes(files / "boxes.json", slots=3))
    batch = next(iter(ItemLoader(data, 2, seed=1)))
    model = ClassificationModule(
        Net(BoxNodes(3, 3, edges=FullEdges())),
        scale=lambda video: video / 255,
        hints={"boxes": "box", "present": "present", "track": "track"},
    )
    model.answer(batch)
    (graph,) = model.model.seen
    validate(graph)
    present = presence(graph)
    assert torch.equal(present, batch["present"])
    assert present.sum(2).unique().numel() > 1  # things are born and die
    assert set(batch["category"][present].tolist()) == {1, 2}
    # What the boxes are around is of the colour of the thing that has the slot.
    colour = to_dense(graph.x, graph)  # [B, T, N, 3]
    hand, thing = (present & (batch["category"] == kind) for kind in (1, 2))
    large = (graph.box[:, 2:] - graph.box[:, :2]).min(1).values > 0.15
    whole = to_dense(large[:, None].float(), graph)[..., 0] > 0
    assert (colour[hand & whole][:, 2] > 0.7).all()
    assert (colour[thing & whole][:, 0] > 0.7).all()
    assert (colour[thing & whole][:, 2] < 0.4).all()


def test_padded_clips_with_boxes_are_the_clips_alone(files):
    data = clips(files, RULES[0], SomethingElseBoxes(files / "boxes.json", slots=3))
    batch = next(iter(ItemLoader(data, 2)))
    module = ClassificationModule(
        Net(BoxNodes(3, 3, edges=FullEdges())),
        scale=lambda video: video / 255,
        hints={"boxes": "box", "present": "present", "track": "track"},
    )
    lengths = (FRAMES, 5)
    mask = torch.arange(FRAMES) < torch.tensor(lengths)[:, None]
    padded = module.answer({**batch, "frame_mask": mask}).logits
    for clip, length in enumerate(lengths):
        alone = {name: value[clip : clip + 1] for name, value in batch.items()}
        along = ("video", "box", "present", "track")
        alone |= {name: alone[name][:, :length] for name in along}
        torch.testing.assert_close(padded[clip : clip + 1], module.answer(alone).logits)
    assert layout_of(module.model.seen[0]).lengths == lengths


@pytest.mark.parametrize("rule", RULES, ids=["centre", "train"])
def test_nodes_of_masks_are_those_of_boxes(files, rule):
    """Things fill their boxes here, so both say the same of them."""
    size = (40, 40) if rule is RULES[0] else (32, 32)
    boxes = clips(files, rule, SomethingElseBoxes(files / "boxes.json", slots=3))
    masks = clips(files, rule, PngMasks(files / "masks", slots=3, size=(16, 16)))
    one, other = (next(iter(ItemLoader(data, 2, seed=3))) for data in (boxes, masks))
    assert torch.equal(one["video"], other["video"])
    assert one["video"].shape[-2:] == size
    assert torch.equal(one["present"], other["present"])
    torch.testing.assert_close(one["box"], other["box"], atol=1e-5, rtol=0)
    features = F.adaptive_avg_pool2d((one["video"] / 255).flatten(0, 1), 8)
    features = features.view(2, FRAMES, 3, 8, 8)
    graph, _ = BoxNodes(3)(features, boxes=one["box"], present=one["present"])
    masked, _ = MaskNodes(3)(features, masks=other["mask"], present=other["present"])
    for name in ("x", "kernel", "node_id", "time"):
        torch.testing.assert_close(masked[name], graph[name], atol=1e-4, rtol=1e-4)


def test_boxes_are_the_same_with_workers(files):
    part = SomethingElseBoxes(files / "boxes.json", slots=3, cache=files / "boxes.table")
    one, other = (
        next(iter(ItemLoader(clips(files, RULES[1], part), 2, workers, seed=2)))
        for workers in (0, 1)
    )
    for name in one:
        assert torch.equal(one[name], other[name]), name
