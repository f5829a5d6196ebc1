from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stgraph.checks import InputError
from stgraph.datasets import ItemLoader, collate
from stgraph.datasets.clips import LeftOutError
from stgraph.datasets.draws import words
from stgraph.datasets.videos import (
    CentreClips,
    Crops,
    Entry,
    EvenFrames,
    Flips,
    MultiScaleCrops,
    Segments,
    TrainClips,
    VideoClips,
    VideoFolder,
    long_enough,
    protocol,
    skip,
)

SMALL = {"sampler": Segments(4), "crops": Crops(1, 16, 24)}
TRAIN = TrainClips(Segments(4), MultiScaleCrops(16), Flips())


def numbers(video: torch.Tensor) -> list[int]:
    """Which frames of the fixture's videos these are, by their grey level."""
    return (video[..., 1, :, :].float().mean((-1, -2)) / 10).round().long().tolist()


def boxes(entry: Entry, frames: torch.Tensor, size: tuple[int, int], view: Any) -> dict[str, Any]:
    """The white half of each frame, and which frame it is."""
    assert size == (24, 32)
    half = torch.tensor([0, 0, 0.5, 1]).expand(len(frames), 1, 4)
    return {"box": view.boxes(half), "frame": frames}


def test_a_clip_is_the_frames_and_the_part_of_them_that_its_rule_says(classes: Path) -> None:
    data = VideoFolder(classes, CentreClips(**SMALL), annotations=boxes)
    assert data.label_names == ["turn left", "turn right"]
    assert [entry.name for entry in data.entries[:2]] == ["turn left/clip 0", "turn left/clip 1"]
    clip = data[2]
    assert (clip["label"], clip["index"]) == (1, 2)
    assert clip["video"].shape == (4, 3, 16, 16)
    assert clip["video"].dtype == torch.uint8
    assert numbers(clip["video"]) == clip["frame"].tolist() == [1, 4, 7, 10]
    assert clip["box"][0, 0].tolist() == [0, 0, 0.5, 1]
    assert (clip["video"][:, 0, :, :7] == 255).all()


def test_several_views_have_a_dimension_of_their_own(classes: Path) -> None:
    rule = protocol("3x2", Segments(4), size=16)
    data = VideoFolder(classes, rule, annotations=boxes)
    clip = data[0]
    assert clip["video"].shape == (6, 4, 3, 16, 16)
    assert clip["box"].shape == (6, 4, 1, 4)
    assert numbers(clip["video"]) == 3 * [[1, 4, 7, 10]] + 3 * [[0, 3, 6, 9]]
    assert clip["frame"].tolist() == numbers(clip["video"])
    # left, right, middle: the white part shrinks to the right
    white = (clip["video"][:3, 0, 0, 0] == 255).float().mean(-1)
    assert white[0] > white[2] > white[1]
    torch.testing.assert_close(clip["box"][:3, 0, 0, 2], white, atol=0.07, rtol=0)
    batch = next(iter(ItemLoader(data, 4)))
    assert batch["video"].shape == (4, 6, 4, 3, 16, 16)
    assert batch["label"].tolist() == [0, 0, 1, 1]
    eleven = protocol("11x2", EvenFrames(4), size=16)
    assert VideoFolder(classes, eleven)[0]["video"].shape == (22, 4, 3, 16, 16)


def test_a_mirrored_clip_has_the_other_label_and_its_boxes_follow(classes: Path) -> None:
    data = VideoFolder(classes, TRAIN, annotations=boxes)
    seen = set()
    for draw in range(40):
        torch.manual_seed(draw)
        clip = data[0]
        left, right = (clip["video"][0, 0, 4, x] for x in (0, -1))
        if clip["label"] == 0:
            assert left >= right
        else:
            assert right >= left
        x1, x2 = clip["box"][0, 0, 0], clip["box"][0, 0, 2]
        if 0 < x2 - x1 < 1:
            assert (x1 == 0) == (clip["label"] == 0)
        seen.add(clip["label"])
    assert seen == {0, 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_drawn_depends_on_seed_epoch_and_clip_alone(classes: Path, workers: int) -> None:
    data = VideoFolder(classes, TRAIN)

    def epochs(count: int, batch_size: int, **more: Any) -> list[dict[int, Any]]:
        loader = ItemLoader(data, batch_size, shuffle=True, **more)
        found = []
        for _ in range(count):
            clips = {}
            for batch in loader:
                for row, index in enumerate(batch["index"].tolist()):
                    clips[index] = (batch["video"][row], int(batch["label"][row]))
            found.append(clips)
        return found

    alone, others = epochs(2, 3, seed=5), epochs(2, 1, seed=5, num_workers=workers)
    for here, there in zip(alone, others, strict=True):
        assert here.keys() == there.keys() == {0, 1, 2, 3}
        for index in here:
            assert torch.equal(here[index][0], there[index][0])
            assert here[index][1] == there[index][1]
    assert any(not torch.equal(alone[0][i][0], alone[1][i][0]) for i in range(4))
    (other,) = epochs(1, 3, seed=6)
    assert any(not torch.equal(alone[0][i][0], other[i][0]) for i in range(4))


def test_a_plain_loader_of_torch_reads_it_too(classes: Path) -> None:
    data = VideoFolder(classes, CentreClips(**SMALL))
    batch = next(iter(DataLoader(data, batch_size=4, collate_fn=collate)))
    assert batch["video"].shape == (4, 4, 3, 16, 16)
    assert torch.equal(data[-1]["video"], data[3]["video"])
    with pytest.raises(IndexError, match="clip 4 of 4"):
        data[4]


def test_clips_without_labels_have_none(classes: Path) -> None:
    entries = [Entry(classes / "turn left" / "clip 0")]
    clip = VideoClips(entries, clips=CentreClips(**SMALL))[0]
    assert clip.keys() == {"video", "index"}
    assert VideoClips(entries, clips=TRAIN)[0].keys() == {"video", "index"}


def test_a_clip_that_cannot_be_read_is_an_error_or_left_out(classes: Path) -> None:
    bad = classes / "turn left" / "clip 0" / "00006.png"
    bad.write_bytes(b"no image")
    rule = CentreClips(EvenFrames(12), Crops(1, 16, 24))
    with pytest.raises(InputError, match=re.escape(str(bad))) as raised:
        VideoFolder(classes, rule)[0]
    assert not isinstance(raised.value, LeftOutError)
    data = VideoFolder(classes, rule, on_error=skip)
    with pytest.raises(LeftOutError, match=re.escape(str(bad))) as left:
        data[0]
    assert left.value.clip == "turn left/clip 0"
    assert data[1]["index"] == 1


def test_frames_lie_between_start_and_end(classes: Path) -> None:
    entry = Entry(classes / "turn left" / "clip 0", None, "some clip", 0.5, 1.0)
    with pytest.raises(InputError, match="start and end of some clip: expected none, for a video"):
        VideoClips([entry])[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VideoClips([]), "entries: expected at least one clip, got none"),
        (
            lambda: VideoClips([Entry(Path("a"), 0, "a"), Entry(Path("b"), None, "b")], ["x"]),
            "entries: expected a label for each clip, or for none, got b",
        ),
        (lambda: VideoClips([Entry(Path("a"), 2)], ["x"]), "expected labels below 1, got 2"),
        (lambda: CentreClips(crops=Crops(3, 256, 256)), "crops: expected one view"),
        (lambda: protocol("5x5"), "name: expected one of '1x1', '3x2', '11x2', got '5x5'"),
    ],
)
def test_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_protocols_are_those_of_the_papers() -> None:
    one, three, eleven = (protocol(name) for name in ("1x1", "3x2", "11x2"))
    words = np.zeros(0, dtype=np.uint64)
    assert one.frames(40, words).shape == (1, 16)
    assert three.frames(40, words).shape == (2, 16)
    assert eleven.frames(40, words).tolist() == EvenFrames(32).test(40, 2).tolist()
    (view,) = one.views(240, 427, words)
    assert (view.scaled, view.size) == ((256, 455), (224, 224))
    assert [view.size for view in three.views(240, 427, words)] == 3 * [(256, 256)]
    assert len(eleven.views(240, 427, words)) == 11


@pytest.mark.parametrize("error", [InputError("mask.png", "an image", "noise"), OSError("a disk")])
def test_annotations_that_cannot_be_read_are_the_policys_too(
    classes: Path, error: Exception
) -> None:
    def damaged(*_: object) -> dict[str, torch.Tensor]:
        raise error

    clips = CentreClips(**SMALL)
    with pytest.raises(InputError, match=r"mask\.png|a disk"):
        VideoFolder(classes, clips, annotations=damaged)[0]
    with pytest.raises(LeftOutError):
        VideoFolder(classes, clips, annotations=damaged, on_error=skip)[0]


def test_a_rule_draws_from_a_stream_that_torch_names(classes: Path) -> None:
    """So that the clips of a seed are the same in later versions."""
    told = []

    class Told(CentreClips):
        draws = 5

        def frames(self, length: int, words: Any) -> Any:
            told.append(words)
            return super().frames(length, words)

    data = VideoFolder(classes, Told(**SMALL))
    torch.manual_seed(3)
    data[0], data[1]
    torch.manual_seed(3)
    keys = [int(torch.randint(1 << 62, ())) for _ in range(2)]
    expected = [words(key, np.array([0]), 5)[0] for key in keys]
    np.testing.assert_array_equal(told, expected)


def test_videos_of_as_many_frames_as_are_asked_for_are_long_enough(classes: Path) -> None:
    entries = VideoFolder(classes, CentreClips(**SMALL)).entries  # of 12, 13, 12 and 13 frames
    assert long_enough(entries, 12) == entries
    assert long_enough(entries, 13) == entries[1::2]
    assert long_enough(entries, 14) == []
