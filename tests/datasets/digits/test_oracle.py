from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from stgraph.checks import InputError
from stgraph.datasets import Digits, MultiSyncMNIST, SyncMNIST, none_label, pair_label
from stgraph.datasets.digits.oracle import label_chances, oracle_accuracy, oracle_answers


def test_chances_are_those_of_drawn_subsets():
    classes, p_none = [7, 7, 2, 0, 9], 0.1
    expected = np.zeros(56)
    expected[none_label()] = p_none
    for size in (2, 3, 4, 5):
        subsets = list(itertools.combinations(classes, size))
        for subset in subsets:
            expected[pair_label(min(subset), max(subset))] += 0.9 / 4 / len(subsets)
    chances = label_chances(np.array([classes]), np.arange(2, 6), p_none)
    np.testing.assert_allclose(chances, expected[None])
    assert chances.sum() == pytest.approx(1)


def test_order_of_the_digits_does_not_matter():
    random = np.random.default_rng(0)
    classes = random.integers(0, 10, (20, 5))
    mixed = random.permuted(classes, axis=1)
    one, other = (label_chances(each, np.array([2, 4]), 0.0) for each in (classes, mixed))
    np.testing.assert_allclose(one, other)


def test_the_oracle_of_five_digits_of_ten_classes(digits: Digits) -> None:
    shares = [
        oracle_accuracy(MultiSyncMNIST(digits, subset_sizes=(size,), p_none=0))
        for size in (2, 3, 4, 5)
    ]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    whole = oracle_accuracy(MultiSyncMNIST(digits, p_none=0))
    assert whole == pytest.approx(0.564, abs=5e-4)
    for p_none in (1 / 56, 0.036):
        share = oracle_accuracy(MultiSyncMNIST(digits, p_none=p_none))
        assert share == pytest.approx((1 - p_none) * whole)


@pytest.mark.parametrize("p_none", [0.0, 1 / 92, 0.3])
@pytest.mark.parametrize("num_digits", [2, 3, 5])
def test_pairs_of_distinct_digits_are_all_as_likely(digits, num_digits, p_none) -> None:
    share = oracle_accuracy(SyncMNIST(digits, num_digits=num_digits, p_none=p_none))
    assert share == pytest.approx(max((1 - p_none) / math.comb(num_digits, 2), p_none))


@pytest.mark.parametrize(
    "options",
    [{}, {"p_none": 0.4}, {"num_classes": 4, "num_digits": 4}, {"subset_sizes": (3,)}],
)
def test_the_exact_share_is_what_clips_give(digits: Digits, options) -> None:
    dataset = MultiSyncMNIST(digits, length=20_000, **options)
    scenes = dataset.scenes(np.arange(20_000))
    right = oracle_answers(dataset, scenes.digit_class) == scenes.label
    test = stats.binomtest(int(right.sum()), len(right), oracle_accuracy(dataset))
    assert test.pvalue > 1e-4
    assert test.proportion_ci(0.999).high - test.proportion_ci(0.999).low < 0.03


def test_nobody_without_motion_does_better(digits: Digits) -> None:
    """Not even one who has seen which label was most frequent for the same digits."""
    dataset = MultiSyncMNIST(digits, num_digits=3, num_classes=3, p_none=0.1, length=60_000)
    scenes = dataset.scenes(np.arange(60_000))
    known = np.sort(scenes.digit_class, axis=1) @ [9, 3, 1]
    best = sum(np.bincount(scenes.label[known == one]).max() for one in np.unique(known))
    assert best / 60_000 == pytest.approx(oracle_accuracy(dataset), abs=0.01)


@pytest.mark.parametrize("sizes", [[], [1], [6]])
def test_sizes_that_no_subset_has_are_refused(sizes) -> None:
    with pytest.raises(InputError, match="sizes: expected sizes from 2 to 5"):
        label_chances(np.zeros((1, 5), int), np.array(sizes, int), 0.0)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (np.array([1, 2, 3]), r"digit_class: expected \[B, M\], got \[3\]"),
        (np.array([[1, 2, 10]]), "digit_class: expected classes from 0 to 9, got 1 to 10"),
        (np.array([[-1, 2, 3]]), "digit_class: expected classes from 0 to 9, got -1 to 3"),
        (np.array([[1.0, 2.0, 3.0]]), "digit_class: expected whole numbers, got float64"),
    ],
)
def test_digits_that_there_are_not_are_told(classes, message):
    with pytest.raises(InputError, match=message):
        label_chances(classes, np.array([2]), 0.1)
