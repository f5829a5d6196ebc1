from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from stgraph.checks import InputError
from stgraph.datasets import ClipLoader, ItemLoader, SyncMNIST, collate, sklearn_digits
from stgraph.datasets.clips import LeftOutError
from stgraph.datasets.items import one_clip


class Plain(Dataset):
    """Clips of their number, with noise of every kind of generator."""

    def __init__(self, length: int = 11, broken: Mapping[int, Any] | None = None) -> None:
        self.length = length
        self.broken = dict(broken or {})

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if index in self.broken:
            return self.broken[index]
        noise = torch.rand(()).item(), np.random.rand(), random.random()
        video = torch.full((2, 1, 4, 4), index, dtype=torch.uint8)
        return {
            "video": video,
            "label": index % 3,
            "noise": np.array(noise),
            "name": f"clip{index}",
        }


class Numbered(Plain):
    """The same, with numbers of their own."""

    def __getitem__(self, index: int) -> Any:
        return {**super().__getitem__(index), "index": 100 + index}


def batches(loader: ClipLoader) -> list[dict[str, Any]]:
    return list(loader)


def noise(made: list[dict[str, Any]]) -> dict[int, tuple[float, ...]]:
    return {
        int(index): tuple(row.tolist())
        for batch in made
        for index, row in zip(batch["index"], batch["noise"], strict=True)
    }


def test_a_batch_has_a_row_for_each_clip() -> None:
    first, second, third = batches(ItemLoader(Plain(), 4))
    assert [len(batch["label"]) for batch in (first, second, third)] == [4, 4, 3]
    assert first["video"].shape == (4, 2, 1, 4, 4)
    assert first["video"].dtype == torch.uint8
    assert second["label"].tolist() == [1, 2, 0, 1]
    assert second["index"].tolist() == [4, 5, 6, 7]
    assert second["name"] == ["clip4", "clip5", "clip6", "clip7"]
    assert torch.equal(second["video"][:, 0, 0, 0, 0], second["index"].byte())


def test_the_order_is_that_of_the_other_loader() -> None:
    digits = SyncMNIST(sklearn_digits(), num_digits=2, canvas=12, size=12, frames=1, length=11)
    for options in (
        {"shuffle": True, "seed": 3},
        {"shuffle": True, "drop_last": True},
        {"rank": 1, "world_size": 2},
    ):
        one, other = ClipLoader(digits, 4, **options), ItemLoader(Plain(), 4, **options)
        for _ in range(2):
            expected = [batch["index"].tolist() for batch in one]
            assert [batch["index"].tolist() for batch in other] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clips_random_numbers_depend_on_nothing_but_seed_epoch_and_clip(workers: int) -> None:
    loader = ItemLoader(Plain(), 4, num_workers=workers, shuffle=True, seed=5)
    epochs = [noise(batches(loader)) for _ in range(2)]
    again = ItemLoader(Plain(), 3, seed=5)
    assert [noise(batches(again)) for _ in range(2)] == epochs
    drawn = {value for epoch in epochs for row in epoch.values() for value in row}
    assert len(drawn) == 2 * 11 * 3
    assert noise(batches(ItemLoader(Plain(), 3, seed=6))) != epochs[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_runs_own_random_numbers_are_left_alone(workers: int) -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), np.random.rand(), random.random()

    def begin() -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)

    begin()
    expected = draw()
    begin()
    batches(ItemLoader(Plain(), 4, num_workers=workers))
    assert draw() == expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 2, 3, 4])
def test_a_state_goes_on_with_the_next_batch(workers: int, done: int) -> None:
    def loader() -> ItemLoader:
        return ItemLoader(Plain(), 4, num_workers=workers, shuffle=True)

    def rows(made: list[dict[str, Any]]) -> list[Any]:
        return [(batch["index"].tolist(), batch["noise"].tolist()) for batch in made]

    whole = loader()
    expected = rows([*whole, *whole])
    first = loader()
    steps = itertools.chain.from_iterable(iter(lambda: first, None))
    begun = rows(list(itertools.islice(steps, done)))
    second = loader()
    second.load_state_dict(first.state_dict())
    rest = [*second] if done < 3 else []
    assert begun + rows([*rest, *second]) == expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"video": torch.zeros(3, 1, 4, 4), "label": 0}, r"video: expected \[2, .* as of clip 0"),
        ({"video": torch.zeros(2, 1, 4, 4)}, r"clip 2: expected the fields of clip 0"),
        (
            {"video": torch.zeros(2, 1, 4, 4), "label": 0, "more": 1},
            r"clip 2: expected the fields of clip 0, .*, got .*'more'",
        ),
        ({"label": 0}, r"clip 2: expected a dict with a video"),
        ({"video": torch.zeros(2, 4, 4), "label": 0}, r"video: expected a tensor \[T, C, H, W\]"),
        ({"video": [1, 2], "label": 0}, r"got list of clip 2"),
        ({"video": torch.zeros(2, 1, 4, 4), "label": None}, r"label: expected numbers or tensors"),
        ((torch.zeros(2, 1, 4, 4), 0), r"clip 2: expected a dict with a video, got tuple"),
    ],
    ids=["length", "field", "more", "no video", "frames", "list", "none", "tuple"],
)
def test_what_makes_no_batch_is_told(workers: int, clip: Any, message: str) -> None:
    good = {"video": torch.zeros(2, 1, 4, 4), "label": 0}
    dataset = Plain(4, {0: good, 1: good, 2: clip, 3: good})
    with pytest.raises(InputError, match=message):
        batches(ItemLoader(dataset, 4, num_workers=workers))


def test_a_list_of_clips_is_a_dataset() -> None:
    clips = [{"video": torch.zeros(2, 1, 4, 4), "label": k} for k in range(3)]
    assert batches(ItemLoader(clips, 3))[0]["label"].tolist() == [0, 1, 2]


def test_any_loader_can_join_clips_with_it() -> None:
    made = next(iter(DataLoader(Plain(), batch_size=5, collate_fn=collate)))
    assert made["label"].tolist() == [0, 1, 2, 0, 1]
    ragged = [{"video": torch.zeros(t, 1, 4, 4)} for t in (2, 3)]
    with pytest.raises(InputError, match="video: expected"):
        next(iter(DataLoader(ragged, batch_size=2, collate_fn=collate)))  # type: ignore[arg-type]


def test_an_empty_dataset_is_told() -> None:
    with pytest.raises(InputError, match="dataset: expected at least one clip"):
        ItemLoader([], 1)


def test_one_clip_is_a_batch_of_one() -> None:
    digits = SyncMNIST(sklearn_digits(), num_digits=2, canvas=12, size=12, frames=1, length=11)
    for dataset in (Plain(), digits):
        assert one_clip(dataset, 7)["index"].tolist() == [7]
        for number in (-1, 11, 100):
            with pytest.raises(InputError, match="indices: expected clip numbers from 0 to 10"):
                one_clip(dataset, number)


class SomeLeftOut(Dataset):
    """Ten clips, some of which cannot be read."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in self.bad:
            raise LeftOutError(f"clip {index}", InputError("a file", "a video", "none"))
        return {"video": torch.full((1, 1, 2, 2), index), "label": index}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clip_that_is_left_out_makes_its_batch_smaller_and_is_listed(workers: int) -> None:
    loader = ItemLoader(SomeLeftOut({1, 4, 5}), 2, num_workers=workers)
    for _ in range(2):
        seen = [batch.get("label", torch.zeros(0)).tolist() for batch in loader]
        assert seen == [[0], [2, 3], [], [6, 7], [8, 9]]
        assert [one.number for one in loader.left_out] == [1, 4, 5]
    assert loader.left_out[0] == (1, "clip 1", "a file: expected a video, got none")
    # where batches are only looked at, there is none without clips
    loader = ItemLoader(SomeLeftOut({1, 4, 5}), 2, repeats=True, num_workers=workers)
    assert [len(batch["label"]) for batch in loader] == [1, 2, 2, 2]
    assert [len(batch["label"]) for batch in loader] == [1, 2, 2, 2]
    # but where others make as many steps
    bad, two = {1, 3, 5, 7}, {"world_size": 2, "once": True, "repeats": True}
    for rank, sizes in ((0, [2, 2, 1]), (1, [0, 0, 1])):
        loader = ItemLoader(SomeLeftOut(bad), 2, rank=rank, num_workers=workers, **two)
        assert [len(batch.get("label", ())) for batch in loader] == sizes


def test_what_was_left_out_is_known_after_resuming_in_the_epoch() -> None:
    order = {"shuffle": True, "seed": 3}
    whole = ItemLoader(SomeLeftOut({1, 4, 5}), 2, **order)
    alone = list(whole)
    for stop in range(1, 5):
        first = ItemLoader(SomeLeftOut({1, 4, 5}), 2, **order)
        batches = [batch for _, batch in zip(range(stop), first, strict=False)]
        state = first.state_dict()
        other = ItemLoader(SomeLeftOut({1, 4, 5}), 2, num_workers=1, **order)
        other.load_state_dict(state)
        batches += list(other)
        assert [b.get("label", torch.zeros(0)).tolist() for b in batches] == [
            b.get("label", torch.zeros(0)).tolist() for b in alone
        ]
        assert other.left_out == whole.left_out
    with pytest.raises(InputError, match="left_out"):
        first.load_state_dict({**state, "left_out": [1]})


def test_a_clip_that_is_left_out_cannot_be_had_alone() -> None:
    with pytest.raises(InputError, match="indices: expected a clip that can be read, not 4"):
        one_clip(SomeLeftOut({4}), 4)


def test_numbers_that_clips_bring_are_theirs() -> None:
    (batch,) = batches(ItemLoader(Numbered(3), 4))
    assert batch["index"].tolist() == [100, 101, 102]


@pytest.mark.parametrize("number", [0, 10])
def test_one_clip_is_that_of_a_loader_in_its_first_epoch(number: int) -> None:
    first = noise(batches(ItemLoader(Plain(), 4)))
    assert noise([one_clip(Plain(), number)]) == {number: first[number]}
