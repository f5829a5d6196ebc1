"""The official five-digit test set of SyncMNIST, replayed from its published paths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError, choice, integer
from stgraph.datasets.digits.clips import DigitClips, Scenes
from stgraph.datasets.digits.images import Digits
from stgraph.datasets.digits.labels import subset_labels
from stgraph.datasets.digits.rendering import stretch_contrast
from stgraph.datasets.digits.synchrony import DRAW_ORDERS
from stgraph.datasets.draws import Ints, order, stream_key, words
from stgraph.reading import read_npz

__all__ = ["OfficialSyncMNIST"]

_CANVAS = 100
_FIELDS = {  # kind of number (u: unsigned, b: bool) and shape
    "mnist_index": ("u", "n M"),
    "top_left": ("u", "n T M 2"),
    "digit_class": ("u", "n M"),
    "synchronous": ("b", "n"),
}


class OfficialSyncMNIST(DigitClips):
    """The 10,000 test clips that published SyncMNIST numbers refer to.

    As :class:`stgraph.datasets.SyncMNIST` with its defaults, except that nothing is random: which
    image each digit is, where it stands in each frame and whether digits 0 and 1 move alike are
    read from a file of paths. Labels follow from the classes.

    Args:
        digits: MNIST's test images.
        path: an ``.npz`` with ``mnist_index`` [n, M], ``top_left`` [n, T, M, 2] (row, col on the
            100×100 canvas), ``digit_class`` [n, M] (unsigned integers) and ``synchronous`` [n]
            (bool); by default ``$STGRAPH_DATA/sync_mnist/five_digit_test_paths.npz``.
        draw_order: ``"synchronous_first"`` as published, so that digits that move alike cover none
            of the others; or ``"random"``, the same clips without this hint.
        seed: of the random order.

    Raises:
        InputError: for digits of another split or size, another order, or a file that is missing,
            unreadable or does not fit the digits, field by field.

    Source: RSTG official code, file of test paths.
    """

    def __init__(
        self,
        digits: Digits,
        path: str | Path | None = None,
        draw_order: str = "synchronous_first",
        seed: int = 0,
    ) -> None:
        if digits.split != "test" or digits.size != (28, 28):
            raise InputError("digits", "MNIST's test images, 28×28", digits)
        fields = _read(_default_path() if path is None else Path(path), digits)
        self._image, self._top_left, self._digit_class = (
            fields[name].astype(np.int64) for name in ("mnist_index", "top_left", "digit_class")
        )
        self.frames = self._top_left.shape[1]
        self.draw_order = choice("draw_order", draw_order, DRAW_ORDERS)
        self.seed = integer("seed", seed, 0, 2**63 - 1)
        self._key = stream_key(seed, digits.split)
        pair = np.arange(self._image.shape[1]) < 2
        self._synchronous = fields["synchronous"][:, None] & pair  # [n, M]
        super().__init__(
            digits,
            canvas=_CANVAS,
            size=64,
            threshold=10,
            contrast=stretch_contrast,
            length=len(self._image),
            num_classes=10,
        )

    @property
    def num_labels(self) -> int:
        """How many labels there are: 45 pairs of classes, and none."""
        return 46

    def scenes(self, index: Ints) -> Scenes:
        """Return what happens in the clips of these numbers."""
        digit_class, synchronous = self._digit_class[index], self._synchronous[index]
        scenes = Scenes(
            self._image[index],
            digit_class,
            synchronous,
            self._top_left[index],
            subset_labels(digit_class, synchronous, self.num_classes),
        )
        if self.draw_order == "synchronous_first":
            return scenes
        return scenes.reorder(order(words(self._key, index, digit_class.shape[1])))


def _default_path() -> Path:
    data = os.environ.get("STGRAPH_DATA")
    if not data:
        raise InputError("path", "a file of paths, or STGRAPH_DATA to be set", "neither")
    return Path(data) / "sync_mnist" / "five_digit_test_paths.npz"


def _read(path: Path, digits: Digits) -> dict[str, NDArray[Any]]:
    """Read the file and check each field."""
    fields = read_npz(path, _FIELDS)

    def expect(fits: object, name: str, expected: str) -> None:
        if not fits:
            field = fields[name]
            got = f"{field.dtype} {list(field.shape)}"
            if field.size:
                got += f" from {field.min()} to {field.max()}"
            raise InputError(f"{path}: {name}", expected, got)

    letters: dict[str, int] = {"2": 2}
    for name, (kind, pattern) in _FIELDS.items():
        field, words = fields[name], pattern.split()
        fits = field.dtype.kind == kind and field.ndim == len(words) and field.size
        fits = fits and all(
            letters.setdefault(word, size) == size
            for word, size in zip(words, field.shape, strict=True)
        )
        expect(fits, name, f"{'bool' if kind == 'b' else 'unsigned'} [{', '.join(words)}]")
    expect(letters["M"] >= 2, "mnist_index", "two digits or more")
    expect(fields["mnist_index"].max() < len(digits), "mnist_index", f"below {len(digits)}")
    last = _CANVAS - digits.size[0]
    expect(fields["top_left"].max() <= last, "top_left", f"corners from 0 to {last}")
    expect(
        np.array_equal(digits.labels[fields["mnist_index"]], fields["digit_class"]),
        "digit_class",
        "the classes of the images of mnist_index",
    )
    return fields
