r"""The 2D oracle: the best answer of one who knows every digit's class and sees no motion.

All digits being alike to it, a subset of each possible size is as likely as any other. With the
classes c of the digits, S the sizes, and S_c(l) the subsets whose label is l:

.. math:: P(l \mid c) = (1 - p_{none}) \frac{1}{|S|} \sum_{s ∈ S}
    \frac{|\{u ∈ S_c(l) : |u| = s\}|}{\binom{M}{s}}, \qquad P(none \mid c) = p_{none}

Its accuracy is the mean of the largest of these over all clips, computed here by counting (DyReG,
"2D oracle"). No model does better that uses neither motion nor which digits lie above others: with
``draw_order="synchronous_first"`` overlaps give a hint.
"""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement
from math import factorial

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError, fraction
from stgraph.datasets.digits.labels import none_label, subset_labels
from stgraph.datasets.digits.synchrony import MultiSyncMNIST, SyncMNIST
from stgraph.datasets.draws import Ints

__all__ = ["label_chances", "oracle_accuracy", "oracle_answers"]


def label_chances(
    digit_class: Ints, sizes: Ints, p_none: float, num_classes: int = 10
) -> NDArray[np.float64]:
    """Probability of each label for one who knows the digits of a clip, and no motion.

    Args:
        digit_class: classes [B, M], in any order.
        sizes: how many digits may move alike, all as likely [S].
        p_none: probability that none do.
        num_classes: K.

    Returns:
        Probabilities [B, K (K + 1)/2 + 1].

    Raises:
        InputError: for sizes that no subset of the digits has, or classes that there are not.

    Examples:
        >>> chances = label_chances(np.array([[7, 7, 2]]), np.array([2]), p_none=0.0)
        >>> chances[0, 23].round(3), chances[0, 46 + 7].round(3)  # 2+7, and 7+7
        (np.float64(0.667), np.float64(0.333))
    """
    if np.ndim(digit_class) != 2:
        raise InputError("digit_class", "[B, M]", list(np.shape(digit_class)))
    digit_class = np.asarray(digit_class)
    clips, digits = digit_class.shape
    if digit_class.dtype.kind not in "iu":
        raise InputError("digit_class", "whole numbers", digit_class.dtype)
    if clips and not 0 <= digit_class.min() <= digit_class.max() < num_classes:
        got = f"{digit_class.min()} to {digit_class.max()}"
        raise InputError("digit_class", f"classes from 0 to {num_classes - 1}", got)
    fraction("p_none", p_none)
    if not len(sizes) or min(sizes) < 2 or max(sizes) > digits:
        raise InputError("sizes", f"sizes from 2 to {digits}", list(sizes))
    subsets = [list(combinations(range(digits), size)) for size in sizes]
    members = np.array([np.isin(range(digits), one) for some in subsets for one in some])
    weight = np.array([1 / len(some) for some in subsets for _ in some]) / len(sizes)  # [P]
    labels = subset_labels(
        np.repeat(digit_class, len(members), axis=0), np.tile(members, (clips, 1)), num_classes
    ).reshape(clips, len(members))
    none = none_label(num_classes)
    chances = np.zeros((clips, none + 1 + num_classes))
    np.add.at(chances, (np.arange(clips)[:, None], labels), (1 - p_none) * weight)
    chances[:, none] = p_none
    return chances


def oracle_answers(dataset: SyncMNIST, digit_class: Ints) -> Ints:
    """Return the likeliest label of each clip, given the classes [B, M] of its digits."""
    answers: Ints = _chances(dataset, digit_class).argmax(axis=1)
    return answers


def oracle_accuracy(dataset: SyncMNIST) -> float:
    """Return the share of all clips of such a data set that the 2D oracle answers rightly.

    Exact: over all sets of classes, not over drawn clips. All classes count as equally likely; of
    MNIST's images, which digit 0 runs through, one class has a little more than another.

    Args:
        dataset: a :class:`SyncMNIST` or :class:`MultiSyncMNIST`; only its options are read.

    Examples:
        >>> from stgraph.datasets import sklearn_digits
        >>> round(oracle_accuracy(MultiSyncMNIST(sklearn_digits(), p_none=1 / 56)), 4)
        0.554
    """
    K, M = dataset.num_classes, dataset.num_digits
    if isinstance(dataset, MultiSyncMNIST):
        known = np.array(list(combinations_with_replacement(range(K), M)))  # [C, M]
        repeats = (known[:, None] == np.arange(K)[:, None]).sum(axis=2)  # [C, K]
        orders = factorial(M) / np.prod(np.vectorize(factorial)(repeats), axis=1)
        share = orders / K**M
    else:
        known = np.array(list(combinations(range(K), M)))
        share = np.full(len(known), 1 / len(known))
    return float(share @ _chances(dataset, known).max(axis=1))


def _chances(dataset: SyncMNIST, digit_class: Ints) -> NDArray[np.float64]:
    sizes = dataset.subset_sizes if isinstance(dataset, MultiSyncMNIST) else np.array([2])
    return label_chances(digit_class, sizes, dataset.p_none, dataset.num_classes)
