"""Label numbers of synchronous-digit clips: which two classes move alike.

With K digit classes, the unordered pair of a > b is number a(a - 1)/2 + b, "none" is K(K - 1)/2,
and a pair of equal classes d (MultiSyncMNIST only) is number none + 1 + d. For K = 10: 0..44, 45
and 46..55.

Source: RSTG and DyReG official code.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError
from stgraph.datasets.draws import Ints

__all__ = ["label_name", "label_pair", "none_label", "pair_label", "subset_labels"]


def none_label(num_classes: int = 10) -> int:
    """Return the number of the label "nothing moves alike".

    Examples:
        >>> none_label(), none_label(5)
        (45, 10)
    """
    return num_classes * (num_classes - 1) // 2


def pair_label(first: int, second: int, num_classes: int = 10) -> int:
    """Return the label of one pair of classes, in either order.

    Raises:
        InputError: for a class outside 0 .. num_classes - 1.

    Examples:
        >>> pair_label(7, 3), pair_label(3, 7), pair_label(4, 4)
        (24, 24, 50)
    """
    for name, value in (("first", first), ("second", second)):
        if not 0 <= value < num_classes:
            raise InputError(name, f"a class from 0 to {num_classes - 1}", value)
    small, large = sorted((first, second))
    return none_label(num_classes) + 1 + large if small == large else none_label(large) + small


def label_pair(label: int, num_classes: int = 10) -> tuple[int, int] | None:
    """Return the (smaller, larger) class of a label, or None for the label "none".

    Raises:
        InputError: for a label no pair of ``num_classes`` classes has.

    Examples:
        >>> label_pair(24), label_pair(50), label_pair(45)
        ((3, 7), (4, 4), None)
    """
    none = none_label(num_classes)
    if not 0 <= label <= none + num_classes:
        raise InputError("label", f"a label from 0 to {none + num_classes}", label)
    if label == none:
        return None
    if label > none:
        return label - none - 1, label - none - 1
    large = (1 + isqrt(1 + 8 * label)) // 2
    return label - none_label(large), large


def label_name(label: int, num_classes: int = 10) -> str:
    """Return a label in words.

    Examples:
        >>> label_name(24), label_name(50), label_name(45)
        ('3+7', '4+4', 'none')
    """
    pair = label_pair(label, num_classes)
    return "none" if pair is None else f"{pair[0]}+{pair[1]}"


def subset_labels(digit_class: Ints, synchronous: NDArray[np.bool_], num_classes: int = 10) -> Ints:
    """Return the label of the (smallest, largest) class among each clip's synchronous digits.

    Args:
        digit_class: classes [B, M].
        synchronous: which digits move alike [B, M]; none where a row holds no True.
        num_classes: K.

    Returns:
        Labels [B].
    """
    none = none_label(num_classes)
    small = np.where(synchronous, digit_class, num_classes).min(1)
    large = np.where(synchronous, digit_class, -1).max(1)
    pair = np.where(small == large, none + 1 + large, large * (large - 1) // 2 + small)
    return np.where(synchronous.any(1), pair, none)
