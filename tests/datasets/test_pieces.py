from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from stgraph.checks import InputError
from stgraph.datasets import ItemLoader, SyncMNIST, sklearn_digits
from stgraph.datasets.clips import LeftOutError
from stgraph.datasets.pieces import Clips, Pieces


class Drawn(Dataset[dict[str, Any]]):
    """Clips of random numbers, some of which cannot be read."""

    def __init__(self, bad: tuple[int, ...] = (), error: type[Exception] = InputError) -> None:
        self.bad, self.error = bad, error

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in self.bad:
            if self.error is InputError:
                raise InputError(f"clip_{index}.mp4", "a video", "none")
            raise self.error("a disk that fails")
        return {"video": torch.rand(2, 1, 4, 4), "other": np.random.rand()}


HALVES = [(0, range(0, 4)), (0, range(4, 5)), (1, range(5, 9)), (1, range(9, 10))]


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_are_those_of_a_loader(workers: int) -> None:
    (batch,) = ItemLoader(Drawn(), 10, repeats=True)
    pieces = list(Pieces(Clips(Drawn(), 4, workers), HALVES))
    assert [piece.clips for piece in pieces] == [list(numbers) for _, numbers in HALVES]
    assert [piece.number for piece in pieces] == [0, 0, 1, 1]
    for name in ("video", "other", "index"):
        assert torch.equal(torch.cat([piece.batch[name] for piece in pieces]), batch[name])


def test_what_is_drawn_depends_on_the_seed() -> None:
    (batch,) = ItemLoader(Drawn(), 10, repeats=True, seed=7)
    one, other = (
        torch.cat([piece.batch["video"] for piece in Pieces(Clips(Drawn(), 4, seed=seed), HALVES)])
        for seed in (7, 0)
    )
    assert torch.equal(one, batch["video"])
    assert not torch.equal(one, other)


@pytest.mark.parametrize("error", [InputError, OSError])
def test_what_cannot_be_read_is_left_out_and_listed(error: type[Exception]) -> None:
    clips = Clips(Drawn((1, 9), error), 4)
    pieces = list(Pieces(clips, HALVES, skip=True))
    assert [piece.clips for piece in pieces] == [[0, 2, 3], [4], [5, 6, 7, 8], []]
    assert pieces[3].batch is None
    (left,) = pieces[0].left_out
    assert left[:2] == (1, "1")
    assert ("clip_1.mp4" if error is InputError else "a disk that fails") in left[2]
    (whole,) = ItemLoader(Drawn(), 10, repeats=True)
    assert torch.equal(pieces[0].batch["video"], whole["video"][[0, 2, 3]])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [InputError, OSError])
def test_or_it_is_told(error: type[Exception], workers: int) -> None:
    with pytest.raises(InputError, match=r"clip_1\.mp4|clip 1: .*disk"):
        list(Pieces(Clips(Drawn((1,), error), 4, workers), HALVES))


def test_a_data_set_that_leaves_clips_out_itself_is_listened_to() -> None:
    class WishError(LeftOutError):
        def __init__(self, message: str) -> None:
            super().__init__("class/a.mp4", InputError("a.mp4", "a video", message))

    pieces = list(Pieces(Clips(Drawn((4,), WishError), 4), HALVES))
    assert [left[:2] for piece in pieces for left in piece.left_out] == [(4, "class/a.mp4")]


def test_other_errors_are_no_bad_clips() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Pieces(Clips(Drawn((1,), ZeroDivisionError), 4), HALVES, skip=True))


def test_data_sets_of_batches_make_them() -> None:
    dataset = SyncMNIST(sklearn_digits(), frames=2, canvas=32, size=32, length=10)
    pieces = list(Pieces(Clips(dataset, 4), HALVES))
    whole = dataset.batch(range(10))
    for name in whole:
        assert torch.equal(torch.cat([piece.batch[name] for piece in pieces]), whole[name])


def test_a_bad_clip_of_a_batch_is_found() -> None:
    class Batches(Dataset[Any]):
        def __len__(self) -> int:
            return 10

        def batch(self, indices: Any, device: Any) -> dict[str, Any]:
            if 6 in indices:
                raise InputError("clip 6", "a good one", "a bad one")
            return {"video": torch.zeros(len(indices), 1, 1, 2, 2), "index": torch.tensor(indices)}

    pieces = list(Pieces(Clips(Batches(), 4), HALVES, skip=True))
    assert [piece.clips for piece in pieces][2] == [5, 7, 8]
    assert pieces[2].left_out == [(6, "6", "clip 6: expected a good one, got a bad one")]
    assert pieces[2].batch["index"].tolist() == [5, 7, 8]
    with pytest.raises(InputError, match="clip 6"):
        list(Pieces(Clips(Batches(), 4), HALVES))


def test_what_is_no_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="dataset: expected one with __len__"):
        Clips(iter([]))
