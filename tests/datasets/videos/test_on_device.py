"""Clips that are resized where their batch comes to lie have the very pixels of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets import ItemLoader, collate
from stgraph.datasets.items import one_clip
from stgraph.datasets.pieces import Clips, Pieces
from stgraph.datasets.videos import (
    Brightness,
    CentreClips,
    Crops,
    EvenFrames,
    Flips,
    MultiScaleCrops,
    OnDevice,
    RandomCrops,
    Segments,
    TrainClips,
    VideoFolder,
    colour_statistics,
    protocol,
)
from stgraph.datasets.videos.annotations import CocoMasks

RULES = {
    "multi scale": TrainClips(Segments(3), MultiScaleCrops(20), Flips(), Brightness()),
    "random": TrainClips(EvenFrames(3), RandomCrops(16, 20), Flips()),
    "centre": CentreClips(Segments(3), Crops(1, 16, 20)),
    "3x2": protocol("3x2", Segments(3), 16),
}


@pytest.fixture
def folder(frames: Any, tmp_path: Path) -> Path:
    """Clips of frames of four sizes, some of one, in two classes."""
    sizes = [(24, 32), (40, 30), (17, 23), (24, 32), (64, 48), (1, 1)]
    for number, size in enumerate(sizes):
        label = ("turn left", "turn right")[number % 2]
        frames(tmp_path / "clips" / label / f"{number}", 5 + number, size)
    return tmp_path / "clips"


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", RULES)
def test_batches_are_equal(name: str, workers: int, folder: Path, device: torch.device) -> None:
    rule = RULES[name]
    plain, later = (
        ItemLoader(VideoFolder(folder, one), 4, seed=5, shuffle=True, **options)
        for one, options in ((rule, {}), (OnDevice(rule), {"num_workers": workers}))
    )
    there = ItemLoader(VideoFolder(folder, OnDevice(rule)), 4, seed=5, shuffle=True, device=device)
    for _ in range(2):
        for one, other, third in zip(plain, later, there, strict=True):
            assert one.keys() == other.keys() == third.keys()
            assert third["video"].device.type == device.type
            for field, value in one.items():
                assert torch.equal(value, other[field]), field
                assert torch.equal(value, third[field].cpu()), field


def test_workers_hand_over_no_more_than_is_looked_at(folder: Path) -> None:
    data = VideoFolder(folder, OnDevice(CentreClips(Segments(3), Crops(1, 8, None))))
    for clip in (data[number]["video"] for number in range(len(data))):
        assert clip.shape == (3, 3, 8, 8)
        side = min(clip.source)  # of the middle square, around which the filter looks a bit
        room = 2 * -(-side // 8)
        for rows, whole in zip(clip.pixels.shape[-2:], clip.source, strict=True):
            assert side <= rows <= min(whole, side + room)
        assert clip.pixels.is_contiguous()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_pieces_are_equal_and_made_on_the_device(
    workers: int, folder: Path, device: torch.device
) -> None:
    rule, numbers = RULES["3x2"], [(0, range(0, 2)), (1, range(2, 5))]
    plain, later = (
        Pieces(Clips(VideoFolder(folder, one), 3, workers), numbers, device)
        for one in (rule, OnDevice(rule))
    )
    for one, other in zip(plain, later, strict=True):
        assert one.batch is not None
        assert other.batch is not None
        assert other.batch["video"].device.type == device.type
        assert one.clips == other.clips
        for field, value in one.batch.items():
            assert torch.equal(value, other.batch[field].cpu()), field


def test_workers_leave_pieces_to_the_device(folder: Path) -> None:
    pieces = Pieces(Clips(VideoFolder(folder, OnDevice(RULES["3x2"])), 3), [(0, range(2))], "meta")
    (piece,) = pieces
    assert piece.batch is not None
    assert piece.batch["video"].device.type == "meta"
    assert piece.batch["index"].device.type == "cpu"  # its data module brings the rest


@pytest.mark.parametrize("name", RULES)
def test_who_takes_clips_one_by_one_gets_pixels_too(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    one, later = (VideoFolder(folder, rule) for rule in (RULES[name], OnDevice(RULES[name])))
    assert torch.equal(one_clip(one, 3)["video"], one_clip(later, 3)["video"])
    numbers = [(0, range(2)), (1, range(2, 6))]
    pieces = [
        [piece.batch["video"] for piece in Pieces(Clips(data, 2), numbers)] for data in (one, later)
    ]
    assert all(map(torch.equal, *pieces))
    found = []
    for data in (one, later):
        torch.manual_seed(0)
        found.append(colour_statistics(data))
    assert found[0] == found[1]


def test_masks_and_sizes_are_as_ever(folder: Path, tmp_path: Path) -> None:
    image = '{"id": 1, "file_name": "turn left/0/00001.jpg", "width": 32, "height": 24}'
    shape = '{"image_id": 1, "segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]]}'
    (tmp_path / "a.json").write_text(f'{{"images": [{image}], "annotations": [{shape}]}}')
    masks = CocoMasks(tmp_path / "a.json", slots=2)
    rules = (RULES["3x2"], OnDevice(RULES["3x2"]))
    one, later = (one_clip(VideoFolder(folder, rule, masks), 0) for rule in rules)
    for field, value in one.items():
        assert torch.equal(value, later[field]), field
    other = OnDevice(CentreClips(Segments(3), Crops(1, 8, 8)))
    clips = [VideoFolder(folder, rule)[0] for rule in (OnDevice(RULES["centre"]), other)]
    with pytest.raises(InputError, match="video: expected"):  # before any pixel is made
        collate(clips)
