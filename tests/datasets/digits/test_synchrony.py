from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.data import DataLoader

from stgraph.checks import InputError
from stgraph.datasets import (
    Digits,
    MultiSyncMNIST,
    SyncMNIST,
    keep_contrast,
    none_label,
    pair_label,
    sklearn_digits,
)

Make = Callable[..., SyncMNIST]
both = pytest.mark.parametrize("make", [SyncMNIST, MultiSyncMNIST])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@both
def test_a_clip_depends_on_its_number_alone(make: Make, digits: Digits) -> None:
    dataset = make(digits, frames=3)
    numbers = [7, 0, 59, 31, 8]
    batch = dataset.batch(numbers)
    assert batch["index"].tolist() == numbers
    for b, number in enumerate(numbers):
        clip = dataset[number]
        assert same(clip, {name: value[b] for name, value in batch.items()})
    for step in (1, 2, 4):
        parts = [dataset.batch(numbers[i : i + step]) for i in range(0, 5, step)]
        assert same(batch, {name: torch.cat([part[name] for part in parts]) for name in batch})
    assert same(batch, make(digits, frames=3).batch(torch.tensor(numbers)))


# From Python 3.12 on, forking a process with threads warns; the default is ours to test here.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_clip_does_not_depend_on_the_worker(small: SyncMNIST, workers: int) -> None:
    numbers = list(range(0, 60, 2))
    small[0]  # the ink is there before the workers are
    loader = DataLoader(small, batch_size=4, sampler=numbers, num_workers=workers)
    batches = list(loader)
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    assert same(joined, small.batch(numbers))


@both
def test_a_clip_does_not_depend_on_the_device(
    make: Make, digits: Digits, device: torch.device
) -> None:
    dataset = make(digits)
    there = dataset.batch(range(20), device)
    assert {value.device.type for value in there.values()} == {device.type}
    assert same({name: value.cpu() for name, value in there.items()}, dataset.batch(range(20)))


@both
def test_seeds_and_splits_make_other_clips(make: Make, digits: Digits) -> None:
    other_split = Digits(digits.images, digits.labels, "train")
    paths = [
        make(given, seed=seed, length=8).paths(range(8))
        for given, seed in ((digits, 0), (digits, 1), (other_split, 0))
    ]
    assert all(not torch.equal(one, other) for one, other in pairwise([*paths, paths[0]]))
    assert torch.equal(paths[0], make(digits, seed=0).paths(range(8)))


@both
def test_a_shorter_clip_begins_a_longer_one(make: Make, digits: Digits) -> None:
    long, short = make(digits).batch([3, 4]), make(digits, frames=2).batch([3, 4])
    assert torch.equal(short["video"], long["video"][:, :2])
    assert torch.equal(short["box"], long["box"][:, :2])
    assert torch.equal(short["label"], long["label"])


def test_sizes_and_types(digits: Digits, small: SyncMNIST) -> None:
    for dataset, sizes in (
        (SyncMNIST(digits), (10, 5, 64)),
        (SyncMNIST(digits, num_digits=3), (10, 3, 64)),
        (MultiSyncMNIST(digits), (10, 5, 128)),
        (small, (6, 3, 32)),
    ):
        T, M, size = sizes
        batch = dataset.batch([0, 1])
        assert {name: (value.dtype, *value.shape) for name, value in batch.items()} == {
            "video": (torch.uint8, 2, T, 1, size, size),
            "label": (torch.int64, 2),
            "box": (torch.float32, 2, T, M, 4),
            "digit_class": (torch.int64, 2, M),
            "synchronous": (torch.bool, 2, M),
            "index": (torch.int64, 2),
        }
    assert [SyncMNIST(digits).num_labels, MultiSyncMNIST(digits).num_labels] == [46, 56]
    assert small.num_labels == 11
    assert small.label_names[:2] + small.label_names[-2:] == ["0+1", "0+2", "3+4", "none"]


@both
@pytest.mark.parametrize("step", [1, 4, 17])
def test_steps_are_as_large_as_is_asked_for(make: Make, digits: Digits, step: int) -> None:
    moved = make(digits, frames=6, step=step, length=200).paths(range(200)).diff(dim=1)
    assert (moved.min(), moved.max()) == (-step, step - 1)


@both
def test_a_threshold_says_what_covers(make: Make, digits: Digits) -> None:
    """Digits of two greys, of which the darker one covers nothing from its grey on."""
    dim = Digits(np.where(digits.images > 100, 200, 60).astype(np.uint8), digits.labels, "test")
    options = {"frames": 2, "length": 20, "contrast": keep_contrast}
    least, usual, most = (
        make(dim, **options, **more).batch(range(20))["video"].float()
        for more in ({"threshold": 60}, {}, {"threshold": 61})
    )
    assert torch.equal(least, usual)
    assert most.mean() < least.mean()


def test_frames_may_be_oblong(digits: Digits) -> None:
    oblong = Digits(digits.images[:, :, 4:24], digits.labels, "test")
    dataset = SyncMNIST(oblong, canvas=(60, 90), size=(30, 60))
    batch = dataset.batch(range(40))
    assert batch["video"].shape == (40, 10, 1, 30, 60)
    assert dataset.paths(range(40)).amax((0, 1, 2)).tolist() == [30, 68]  # 31 and 69 excluded
    assert batch["box"].max() <= 1


@both
def test_clips_run_through_the_images_in_file_order(make: Make, digits: Digits) -> None:
    images = make(digits, length=130).scenes(np.arange(130)).image
    assert images[:, 0].tolist() == [i % 60 for i in range(130)]
    assert len(make(digits)) == 60
    assert len(make(Digits(digits.images, digits.labels, "train"))) == 600


def test_classes_out_of_play_are_left_out(digits: Digits) -> None:
    dataset = MultiSyncMNIST(digits, num_classes=4)
    scenes = dataset.scenes(np.arange(len(dataset)))
    assert len(dataset) == 24
    assert scenes.image[:, 0].tolist() == [i for i in range(60) if i % 10 < 4]
    assert scenes.digit_class.max() == 3


@both
def test_images_have_their_classes_and_are_all_as_likely(make: Make, digits: Digits) -> None:
    scenes = make(digits, length=20_000).scenes(np.arange(20_000))
    assert (digits.labels[scenes.image] == scenes.digit_class).all()
    assert stats.chisquare(np.bincount(scenes.image[:, 1:].ravel())).pvalue > 1e-4
    start_frames = scenes.top_left[:, 0].reshape(-1, 2)
    assert np.abs(np.corrcoef(start_frames.T)[0, 1]) < 0.02


def test_sync_mnist_has_distinct_classes_and_near_uniform_pairs(digits: Digits) -> None:
    dataset = SyncMNIST(digits, length=60_000)
    scenes = dataset.scenes(np.arange(60_000))
    ordered = np.sort(scenes.digit_class, 1)
    assert (np.diff(ordered, axis=1) > 0).all()
    alike = scenes.synchronous.any(1)
    assert (scenes.synchronous[alike] == [True, True, False, False, False]).all()
    expected = np.where(alike, [pair_label(*c[:2]) for c in scenes.digit_class.tolist()], 45)
    assert (scenes.label == expected).all()
    assert stats.binomtest(int((~alike).sum()), 60_000, 1 / 92).pvalue > 1e-4
    assert stats.chisquare(np.bincount(scenes.label[alike], minlength=45)).pvalue > 1e-4


def test_multi_sync_mnist_repeats_classes_and_varies_the_subset(digits: Digits) -> None:
    dataset = MultiSyncMNIST(digits, length=56_000)
    scenes = dataset.scenes(np.arange(56_000))
    size = scenes.synchronous.sum(1)
    assert (scenes.synchronous == (np.arange(5) < size[:, None])).all()
    assert stats.binomtest(int((size == 0).sum()), 56_000, 1 / 56).pvalue > 1e-4
    assert set(size.tolist()) == {0, 2, 3, 4, 5}
    assert stats.chisquare(np.bincount(size)[2:]).pvalue > 1e-4
    assert stats.chisquare(np.bincount(scenes.digit_class[:, 1:].ravel())).pvalue > 1e-4
    for row in range(200):
        members = scenes.digit_class[row][scenes.synchronous[row]]
        label = pair_label(members.min(), members.max()) if len(members) else none_label()
        assert scenes.label[row] == label
    only = MultiSyncMNIST(digits, subset_sizes=(3,), p_none=0).scenes(np.arange(60))
    assert (only.synchronous.sum(1) == 3).all()


@both
@pytest.mark.parametrize(("p_none", "share"), [(0.0, 0), (1.0, 60), (0.5, 30)])
def test_the_probability_of_none_is_a_parameter(
    make: Make, digits: Digits, p_none: float, share: int
) -> None:
    labels = make(digits, p_none=p_none).scenes(np.arange(60)).label
    assert abs((labels == 45).sum() - share) <= (15 if 0 < p_none < 1 else 0)


@both
def test_exactly_the_synchronous_digits_move_alike(make: Make, digits: Digits) -> None:
    dataset = make(digits, p_none=0.2)
    scenes = dataset.scenes(np.arange(60))
    step = np.diff(scenes.top_left, axis=1)  # [B, T-1, M, 2]
    as_first = (step == step[:, :, :1]).all((1, 3))
    assert (as_first[:, 1:] == scenes.synchronous[:, 1:]).all()


@both
def test_boxes_hold_the_digits(make: Make, digits: Digits) -> None:
    dataset = make(digits)
    batch, path = dataset.batch(range(12)), dataset.paths(range(12))
    side = dataset.canvas[0]
    assert torch.allclose(batch["box"][..., [1, 0]] * side, path.float(), atol=1e-4)
    assert torch.allclose(batch["box"][..., 2:] - batch["box"][..., :2], torch.tensor(28 / side))
    pixel = (torch.arange(dataset.size[0]) + 0.5) / dataset.size[0]
    x1, y1, x2, y2 = (batch["box"][..., None, None].select(3, k) for k in range(4))
    inside = (pixel > x1) & (pixel < x2) & (pixel[:, None] > y1) & (pixel[:, None] < y2)
    ink = batch["video"][:, :, 0] > 0
    assert not (ink & ~inside.any(2)).any()
    assert ink.any((2, 3)).all()


@both
def test_random_order_draws_the_same_digits_in_another_order(make: Make, digits: Digits) -> None:
    plain = make(digits).scenes(np.arange(60))
    mixed = make(digits, draw_order="random").scenes(np.arange(60))
    assert (plain.label == mixed.label).all()
    assert (np.sort(plain.image, 1) == np.sort(mixed.image, 1)).all()
    assert mixed.synchronous[:, 2:].any()
    for row in range(60):
        order = [plain.image[row].tolist().index(i) for i in mixed.image[row]]
        if len(set(order)) == 5:  # unless an image occurs twice
            assert (plain.top_left[row][:, order] == mixed.top_left[row]).all()
            assert (plain.synchronous[row][order] == mixed.synchronous[row]).all()
            assert (plain.digit_class[row][order] == mixed.digit_class[row]).all()


def test_a_dataset_is_pickled_without_its_ink(small: SyncMNIST) -> None:
    clip = small[3]
    copy = pickle.loads(pickle.dumps(small))
    assert not copy.render._ink
    assert same(copy[3], clip)


def test_the_small_task_is_hard_to_guess_from_its_digits() -> None:
    dataset = SyncMNIST(
        sklearn_digits(), num_digits=3, num_classes=5, canvas=32, p_none=1 / 11, length=100_000
    )
    scenes = dataset.scenes(np.arange(len(dataset)))
    present = np.sort(scenes.digit_class, 1) @ [25, 5, 1]
    best = sum(np.bincount(scenes.label[present == s]).max() for s in np.unique(present))
    assert best / len(dataset) == pytest.approx(10 / 11 / 3, abs=0.01)


def test_indexing_is_that_of_a_sequence(digits: Digits) -> None:
    dataset = SyncMNIST(digits, frames=1, length=3)
    assert same(dataset[-1], dataset[2])
    for number in (3, -4):
        with pytest.raises(IndexError, match=f"clip {number} of 3"):
            dataset[number]


@pytest.mark.parametrize(
    "indices", [[], [60], [-1], [0.5], [[1, 2]], [True], np.array([], np.int64)]
)
def test_clip_numbers_that_do_not_exist_are_refused(digits: Digits, indices: Any) -> None:
    with pytest.raises(InputError, match="indices: expected clip numbers from 0 to 59"):
        SyncMNIST(digits).batch(indices)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SyncMNIST, {"num_digits": 1}, "num_digits: expected a whole number of at least 2"),
        (SyncMNIST, {"num_digits": 4, "num_classes": 3}, "num_digits: expected at most the 3"),
        (SyncMNIST, {"num_classes": 11}, "digits: expected images of 11 classes"),
        (SyncMNIST, {"canvas": 20}, r"canvas: expected at least the digits' \(28, 28\)"),
        (SyncMNIST, {"canvas": (28, 90)}, "canvas: expected more than the digits'"),
        (SyncMNIST, {"size": 0}, "size: expected a whole number"),
        (SyncMNIST, {"step": 0}, "step: expected a whole number"),
        (SyncMNIST, {"frames": 0}, "frames: expected a whole number"),
        (SyncMNIST, {"p_none": 1.5}, "p_none: expected a number from 0 to 1"),
        (SyncMNIST, {"threshold": -1}, "threshold: expected a whole number"),
        (SyncMNIST, {"draw_order": "sync"}, "draw_order: expected one of 'synchronous_first'"),
        (SyncMNIST, {"length": 0}, "length: expected a whole number"),
        (MultiSyncMNIST, {"subset_sizes": (1, 2)}, "subset_sizes: expected sizes from 2 to 5"),
        (MultiSyncMNIST, {"subset_sizes": ()}, "subset_sizes: expected sizes from 2 to 5"),
    ],
)
def test_options_that_make_no_dataset_are_refused(
    digits: Digits, make: Make, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(digits, **options)


def test_train_and_test_share_no_image() -> None:
    train, test = (
        {image.tobytes() for image in sklearn_digits(split).images} for split in ("train", "test")
    )
    assert not train & test


@both
def test_seeds_are_whole_numbers_of_63_bits(make: Make, digits: Digits) -> None:
    last = make(digits, frames=2, seed=2**63 - 1)
    assert last.batch([0])["video"].shape[1] == 2
    assert not same(last.batch([0]), make(digits, frames=2, seed=2**63 - 2).batch([0]))
    for seed in (-1, 2**63, 0.5):
        with pytest.raises(InputError, match="seed: expected a whole number"):
            make(digits, frames=2, seed=seed)


@both
def test_the_smallest_canvas_leaves_digits_where_they_are(make: Make, digits: Digits) -> None:
    """One pixel is free, which no digit reaches."""
    dataset = make(digits, canvas=29, size=29, frames=4)
    assert not dataset.paths(range(8)).any()
