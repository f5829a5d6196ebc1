from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets import ClipLoader, SyncMNIST, sklearn_digits


@pytest.fixture(scope="module")
def clips() -> SyncMNIST:
    return SyncMNIST(sklearn_digits(), num_digits=2, canvas=12, size=12, frames=1, length=23)


def numbers(loader: ClipLoader) -> list[list[int]]:
    return [batch["index"].tolist() for batch in loader]


def flat(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def test_batches_are_those_of_the_dataset(clips: SyncMNIST, device: torch.device) -> None:
    loader = ClipLoader(clips, 8, device=device)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert numbers(loader) == [list(range(8)), list(range(8, 16)), list(range(16, 23))]
    for batch in batches:
        assert batch["video"].device.type == device.type
        assert torch.equal(batch["video"].cpu(), clips.batch(batch["index"])["video"])


def test_shuffling_depends_on_seed_and_epoch(clips: SyncMNIST) -> None:
    loader = ClipLoader(clips, 8, shuffle=True, seed=1)
    epochs = [numbers(loader) for _ in range(3)]
    for epoch in epochs:
        assert sorted(flat(epoch)) == list(range(23))
    assert epochs[0] != epochs[1] != epochs[2]
    again = ClipLoader(clips, 8, shuffle=True, seed=1)
    again.set_epoch(2)
    assert numbers(again) == epochs[2]
    assert numbers(ClipLoader(clips, 8, shuffle=True, seed=2)) != epochs[0]


def test_a_small_rest_is_left_out_if_asked(clips: SyncMNIST) -> None:
    loader = ClipLoader(clips, 8, drop_last=True)
    assert [len(batch) for batch in numbers(loader)] == [8, 8]
    assert len(loader) == 2


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_state_goes_on_with_the_next_batch(clips: SyncMNIST, done: int) -> None:
    loader = ClipLoader(clips, 8, shuffle=True)
    whole = [numbers(loader), numbers(loader)]
    first = ClipLoader(clips, 8, shuffle=True)
    ahead = iter(first)
    seen = [next(ahead)["index"].tolist() for _ in range(done)]
    state = json.loads(json.dumps(first.state_dict()))
    second = ClipLoader(clips, 8, shuffle=True)
    second.load_state_dict(state)
    second.set_epoch(state["epoch"])  # a trainer may say which epoch it takes up
    if done < 3:
        assert seen + numbers(second) == whole[0]
    assert numbers(second) == whole[1]


def test_an_epoch_left_half_way_is_not_taken_up_again(clips: SyncMNIST) -> None:
    loader = ClipLoader(clips, 8, shuffle=True)
    epochs = [numbers(loader), numbers(loader)]
    other = ClipLoader(clips, 8, shuffle=True)
    assert next(iter(other))["index"].tolist() == epochs[0][0]
    assert numbers(other) == epochs[1]


def test_asking_for_an_epoch_drops_a_state_of_another(clips: SyncMNIST) -> None:
    loader = ClipLoader(clips, 8)
    loader.load_state_dict({**loader.state_dict(), "epoch": 1, "position": 2})
    loader.set_epoch(4)
    assert len(numbers(loader)) == 3
    assert loader.state_dict()["epoch"] == 5


@pytest.mark.parametrize(
    ("drop_last", "world_size", "share"), [(False, 2, 12), (True, 2, 11), (False, 4, 6)]
)
def test_ranks_share_an_epoch(
    clips: SyncMNIST, drop_last: bool, world_size: int, share: int
) -> None:
    loaders = [
        ClipLoader(clips, 4, shuffle=True, drop_last=drop_last, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(loader) for loader in loaders}) == 1
    parts = [flat(numbers(loader)) for loader in loaders]
    seen = flat(parts)
    if drop_last:
        assert all(len(part) == share // 4 * 4 for part in parts)
        assert len(set(seen)) == len(seen)
    else:
        assert all(len(part) == share for part in parts)
        assert set(seen) == set(range(23))
    order = flat(numbers(ClipLoader(clips, 4, shuffle=True)))
    assert parts[1] == (order + order)[1 : share * world_size : world_size][: len(parts[1])]


@pytest.mark.parametrize(("length", "size", "ranks"), [(9, 4, 2), (8, 4, 2), (1, 2, 3), (5, 1, 4)])
def test_ranks_may_see_each_clip_once(length: int, size: int, ranks: int) -> None:
    data = SyncMNIST(sklearn_digits(), num_digits=2, canvas=12, size=12, frames=1, length=length)
    loaders = [
        ClipLoader(data, size, rank=rank, world_size=ranks, once=True) for rank in range(ranks)
    ]
    for _ in range(2):
        parts = [[batch.get("index", torch.empty(0)).tolist() for batch in one] for one in loaders]
        assert len({len(part) for part in parts}) == 1  # as many steps everywhere
        assert sorted(clip for part in parts for batch in part for clip in batch) == list(
            range(length)
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number"),
        ({"batch_size": 24, "drop_last": True}, "batch_size: expected at most the 23 clips"),
        ({"rank": 2, "world_size": 2}, "rank: expected below world_size, 2, got 2"),
        ({"rank": -1}, "rank: expected a whole number"),
        ({"world_size": 0}, "world_size: expected a whole number"),
    ],
)
def test_options_that_make_no_batch_are_refused(
    clips: SyncMNIST, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ClipLoader(clips, **{"batch_size": 8, **options})


def test_a_state_of_other_batches_is_refused(clips: SyncMNIST) -> None:
    loader = ClipLoader(clips, 8)
    state = loader.state_dict()
    for change in (
        {"batch_size": 4},
        {"seed": 3},
        {"clips": 99},
        {"shuffle": True},
        {"drop_last": True},
    ):
        (name,) = change
        with pytest.raises(InputError, match=f"state\\['{name}'\\]: expected"):
            loader.load_state_dict({**state, **change})
    with pytest.raises(InputError, match=r"state\['position'\]: expected a batch below"):
        loader.load_state_dict({**state, "position": len(loader)})
    del state["position"]
    with pytest.raises(InputError, match="got nothing"):
        loader.load_state_dict(state)
    with pytest.raises(InputError, match="epoch: expected a whole number"):
        loader.set_epoch(-1)
