from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stgraph import SpaceTimeGraph
from stgraph.applications.answers import (
    Latency,
    answer_clips,
    answer_frames,
    streams,
    timed_frames,
)
from stgraph.applications.trained import Covering, Trained, grey
from stgraph.checks import InputError
from stgraph.classifiers import GraphClassifier
from stgraph.datasets.videos import Crops, Entry, ProtocolClips, Segments, VideoClips
from stgraph.edges import FullEdges
from stgraph.layers import SpaceLayer, TimeLayer
from stgraph.nodes import GridNodes
from stgraph.training import ClassificationModule

image = pytest.importorskip("PIL.Image")
pytest.importorskip("av")


class Ahead(nn.Linear):
    causal = False


def one(causal: bool = True, channels: int = 3, **rule: object) -> Trained:
    torch.manual_seed(0)
    layers: dict[str, nn.Module] = {"space": SpaceLayer(8), "time": TimeLayer(nn.GRU(8, 8))}
    backbone: nn.Module = nn.Conv2d(channels, 8, 5, stride=4)
    if not causal:
        backbone = nn.Sequential(backbone, Whole())
    net = SpaceTimeGraph(GridNodes(8, (2,), edges=FullEdges()), layers, ("time", "space"))
    module = ClassificationModule(GraphClassifier(backbone, net, 5)).eval()
    parts = {"sampler": Segments(6), "crops": Crops(1, 32, 32), **rule}
    return Trained(module, ProtocolClips(**parts), list("abcde"), channels)


class Whole(nn.Identity):
    causal = False


def offline(trained: Trained, video: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return trained.module(video).logits.mean(0).softmax(0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("rule", [{}, {"samplings": 2, "crops": Crops(3, 32, 32)}], ids=str)
def test_an_answer_is_that_of_a_test(causal: bool, rule, video_file, tmp_path: Path) -> None:
    """Of all views together, and after each frame where the model is causal."""
    trained = one(causal, **rule)
    entry = Entry(video_file(tmp_path / "a.mp4", frames=31))
    clip = VideoClips([entry], (), trained.rule)[0]["video"]
    clip = clip if clip.dim() == 5 else clip[None]
    answers = list(answer_clips(trained, entry))
    assert [answer.frames for answer in answers] == ([1, 2, 3, 4, 5, 6] if causal else [6])
    for answer in answers:
        expected = offline(trained, clip[:, : answer.frames])
        torch.testing.assert_close(answer.probabilities, expected)
        assert answer.latency > 0
    assert answers[-1].label == int(expected.argmax())
    assert answers[-1].probability == pytest.approx(float(expected.max()))


def in_double(video: torch.Tensor) -> torch.Tensor:
    return video.double() / 255


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "folder"])
@pytest.mark.parametrize("piece", [1, 3])
def test_frame_by_frame_equals_the_whole_file_in_double(
    name: str, piece: int, video_file, frame_folder, tmp_path: Path
) -> None:
    """Of real files, whose frames come by decoding on, against frames that are sought."""
    trained = one()
    trained.module.double()
    trained.module.scale = in_double
    path = tmp_path / name
    if name == "folder":
        frame_folder(path, 14)
    else:
        video_file(path, frames=14, codec="libvpx-vp9" if name.endswith("webm") else "libx264")
    entry = Entry(path)
    every = ProtocolClips(Segments(14), Crops(1, 32, 32))
    clip = VideoClips([entry], (), every)[0]["video"][None]
    answers = list(answer_frames(trained, timed_frames(entry), piece))
    assert answers[-1].frames == 14
    for answer in answers:
        with torch.no_grad():
            whole = trained.module(clip[:, : answer.frames]).logits[0].softmax(0)
        torch.testing.assert_close(answer.probabilities, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("piece", [1, 4])
def test_a_stream_gives_the_answer_of_all_frames_so_far(piece, video_file, tmp_path) -> None:
    trained = one()
    entry = Entry(video_file(tmp_path / "a.mp4", frames=20))
    every = ProtocolClips(Segments(20), Crops(1, 32, 32))
    clip = VideoClips([entry], (), every)[0]["video"][None]
    answers = list(answer_frames(trained, timed_frames(entry), piece))
    assert [answer.frames for answer in answers] == list(range(piece, 21, piece))
    assert [answer.seconds for answer in answers][-1] == pytest.approx(19 / 25)
    for answer in answers:
        expected = offline(trained, clip[:, : answer.frames])
        torch.testing.assert_close(answer.probabilities, expected)


def test_a_model_that_needs_whole_clips_gets_them_one_after_another(video_file, tmp_path) -> None:
    trained = one(causal=False)
    assert streams(trained) == (False, "backbone.1 needs the whole clip at once")
    entry = Entry(video_file(tmp_path / "a.mp4", frames=20))
    every = ProtocolClips(Segments(20), Crops(1, 32, 32))
    clip = VideoClips([entry], (), every)[0]["video"][None]
    answers = list(answer_frames(trained, timed_frames(entry)))
    assert [answer.frames for answer in answers] == [6, 12, 18]  # two frames make no clip
    with torch.no_grad():
        logits = [trained.module(clip[:, i : i + 6]).logits[0] for i in (0, 6, 12)]
    expected = torch.stack(logits).mean(0).softmax(0)
    torch.testing.assert_close(answers[-1].probabilities, expected)
    short = Entry(video_file(tmp_path / "b.mp4", frames=5))
    with pytest.raises(InputError, match="at least the 6 frames"):
        list(answer_frames(trained, timed_frames(short)))


@pytest.mark.slow
def test_memory_does_not_grow_with_a_stream(live_tensors) -> None:
    """Tensors that are alive, and their bytes, over thousands of frames."""
    trained = one(crops=Crops(1, 16, 16), sampler=Segments(4))
    frame = torch.randint(0, 256, (3, 24, 32), dtype=torch.uint8)
    alive = []

    def frames():
        for number in range(2201):
            if number in (200, 2200):
                alive.append(live_tensors())
            yield frame, number / 25

    count = sum(1 for _ in answer_frames(trained, frames()))
    assert count == 2201
    assert alive[0] == alive[1]


def test_only_the_part_and_the_rate_that_are_asked_for_are_read(video_file, tmp_path) -> None:
    path = video_file(tmp_path / "a.mp4", frames=50)
    frames = list(timed_frames(Entry(path, start=0.4, end=1.2), rate=5))
    assert [seconds for _, seconds in frames] == pytest.approx([0, 0.2, 0.4, 0.6])
    pixels = VideoClips([Entry(path)], (), ProtocolClips(Segments(50), Crops(1, 48, 48)))
    assert torch.equal(frames[1][0][:, :, 8:56], pixels[0]["video"][15])


def test_images_have_no_rate(frame_folder, tmp_path) -> None:
    entry = Entry(frame_folder(tmp_path / "a", frames=3))
    assert [seconds for _, seconds in timed_frames(entry)] == [None] * 3
    with pytest.raises(InputError, match="rate"):
        list(timed_frames(entry, 5))


def test_grey_is_that_of_pillow() -> None:
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    picture = image.fromarray(pixels.permute(1, 2, 0).numpy()).convert("L")
    assert torch.equal(grey(pixels)[0], torch.from_numpy(np.array(picture)))


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (31, 47), (64, 64), (7, 500)])
def test_a_covering_view_lies_in_the_frame(size) -> None:
    for wanted in ((32, 32), (24, 48), (48, 24)):
        (view,) = Covering(*wanted)(*size)
        assert view.size == view.cut == wanted
        assert 0 <= view.top <= view.scaled[0] - wanted[0]
        assert 0 <= view.left <= view.scaled[1] - wanted[1]
        assert view.scaled[0] == wanted[0] or view.scaled[1] == wanted[1]
        assert view.top == (view.scaled[0] - wanted[0]) // 2
        assert view.left == (view.scaled[1] - wanted[1]) // 2


def test_latencies_are_known_to_a_percent() -> None:
    latency = Latency()
    times = torch.logspace(-4, 1, 5001).tolist()
    for seconds in times:
        latency.add(seconds)
    for share in (0.01, 0.5, 0.99, 1.0):
        expected = times[max(0, round(share * 5001) - 1)]
        assert latency.quantile(share) == pytest.approx(expected, rel=0.015)
    assert latency.count == 5001
    clock = Latency()
    clock.add(0.0)  # less than a clock tells
    assert 0 < clock.quantile(1.0) < 1e-5


def test_it_is_told_why_a_model_does_not_stream() -> None:
    trained = one(causal=False)
    trained.module.model.backbone.append(Whole())
    several = "backbone.1, backbone.2 need the whole clip at once"
    assert streams(trained) == (False, several)
    silent = replace(trained, module=ClassificationModule(nn.Linear(1, 1)))
    assert streams(silent) == (False, "Linear does not say that it is causal")
