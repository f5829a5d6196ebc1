from __future__ import annotations

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets.digits.labels import (
    label_name,
    label_pair,
    none_label,
    pair_label,
    subset_labels,
)

# larger class: labels of the pairs with 0, 1, …, as the papers' table has them
TABLE = {
    1: [0],
    2: [1, 2],
    3: [3, 4, 5],
    4: [6, 7, 8, 9],
    5: [10, 11, 12, 13, 14],
    6: [15, 16, 17, 18, 19, 20],
    7: [21, 22, 23, 24, 25, 26, 27],
    8: [28, 29, 30, 31, 32, 33, 34, 35],
    9: [36, 37, 38, 39, 40, 41, 42, 43, 44],
}


def test_labels_are_those_of_the_table() -> None:
    for large, labels in TABLE.items():
        assert [pair_label(large, small) for small in range(large)] == labels
        assert [pair_label(small, large) for small in range(large)] == labels
    assert none_label() == 45
    assert [pair_label(d, d) for d in range(10)] == list(range(46, 56))


@pytest.mark.parametrize("num_classes", [2, 5, 10])
def test_pairs_and_labels_are_one_to_one(num_classes: int) -> None:
    count = none_label(num_classes) + 1 + num_classes
    pairs = [label_pair(label, num_classes) for label in range(count)]
    assert len(set(pairs)) == count
    assert [
        none_label(num_classes) if pair is None else pair_label(*pair, num_classes)
        for pair in pairs
    ] == list(range(count))
    assert all(pair is None or pair[0] <= pair[1] for pair in pairs)


def test_names() -> None:
    assert [label_name(label, 5) for label in (0, 9, 10, 11, 15)] == [
        "0+1",
        "3+4",
        "none",
        "0+0",
        "4+4",
    ]


def test_subset_labels_take_the_least_and_the_largest_synchronous_class() -> None:
    classes = np.array([[4, 6, 7, 2, 7], [4, 4, 9, 0, 9], [1, 2, 3, 4, 5], [8, 1, 3, 4, 5]])
    alike = np.arange(5) < np.array([3, 2, 0, 5])[:, None]
    expected = [pair_label(4, 7), pair_label(4, 4), none_label(), pair_label(1, 8)]
    assert subset_labels(classes, alike).tolist() == expected
    shuffled = np.array([3, 0, 4, 2, 1])
    assert subset_labels(classes[:, shuffled], alike[:, shuffled]).tolist() == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: pair_label(5, 0, 5),
        lambda: pair_label(0, -1),
        lambda: label_pair(56),
        lambda: label_pair(-1),
        lambda: label_name(16, 5),
    ],
)
def test_what_is_no_label_is_refused(call: object) -> None:
    with pytest.raises(InputError, match=r"expected a (class|label) from 0 to"):
        call()  # type: ignore[operator]
