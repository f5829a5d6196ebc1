"""Handwritten digits: what the synthetic videos are made of."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError, choice
from stgraph.datasets.digits import download, idx

__all__ = ["SPLITS", "Digits", "mnist", "sklearn_digits"]

SPLITS = ("train", "test")
_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class Digits:
    """Labelled 8-bit digit images of one split.

    Args:
        images: uint8 [n, h, w].
        labels: int64 [n], the classes 0 .. 9.
        split: ``"train"`` or ``"test"``. Two splits of one source share no image.

    Raises:
        InputError: for arrays of another shape, type or range.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: str = "train"

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 3 or 0 in images.shape:
            raise InputError("images", "uint8 [n, h, w]", f"{images.dtype} {list(images.shape)}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise InputError(
                "labels", f"int64 [{len(images)}]", f"{labels.dtype} {list(labels.shape)}"
            )
        if labels.min() < 0 or labels.max() > 9:
            raise InputError("labels", "classes 0 to 9", f"{labels.min()} to {labels.max()}")
        choice("split", self.split, SPLITS)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width = self.size
        return f"Digits({len(self)} images, {height}×{width}, split={self.split!r})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.images.shape[1:]
        return height, width


def mnist(root: str | Path | None = None, split: str = "train", download: bool = False) -> Digits:
    """Read MNIST from IDX files, plain or gzipped: 60,000 training or 10,000 test digits.

    Args:
        root: the folder of the files, or of ``raw/`` or ``MNIST/raw/`` with them; by default
            ``$STGRAPH_DATA/mnist`` where that variable is set, else ``stgraph/mnist`` in the
            user's cache folder.
        split: ``"train"`` or ``"test"``.
        download: fetch the files that are missing from public mirrors of MNIST into ``root``.

    Raises:
        InputError: when a file is missing, truncated, corrupt or not what its name says.
        OSError: when no mirror delivers a missing file.
    """
    prefix = _PREFIX[choice("split", split, SPLITS)]
    names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    folder = default_root() if root is None else Path(root).expanduser()
    found = [_find(folder, name) for name in names]
    if download:
        found = [path or _fetch(folder, name) for path, name in zip(found, names, strict=True)]
    image_path, label_path = found
    if image_path is None or label_path is None:
        raise InputError(
            "root",
            f"{' and '.join(names)}, each plain or as .gz, in {folder} (or raw/ or MNIST/raw/ "
            "there); pass download=True to fetch them, or another root, or set STGRAPH_DATA "
            "to the folder above it",
            "neither" if found == [None, None] else f"only {image_path or label_path}",
        )
    images = idx.read(image_path, dimensions=3)
    labels = idx.read(label_path, dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            str(label_path), f"{len(images)} labels, as {image_path} has images", len(labels)
        )
    if labels.max(initial=0) > 9:
        raise InputError(str(label_path), "classes 0 to 9", int(labels.max()))
    return Digits(images, labels.astype(np.int64), split)


def default_root() -> Path:
    """Return where MNIST lies when nothing is said: see :func:`mnist`."""
    data = os.environ.get("STGRAPH_DATA")
    if data:
        return Path(data) / "mnist"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stgraph" / "mnist"


def _find(root: Path, name: str) -> Path | None:
    """Return the first place where a file lies, or None."""
    folders = (root, root / "raw", root / "MNIST" / "raw")
    paths = (folder / (name + suffix) for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _fetch(root: Path, name: str) -> Path:
    return download.mnist_file(f"{name}.gz", root)


def sklearn_digits(split: str = "train") -> Digits:
    """Return the 1,797 digits of 8×8 pixels that scikit-learn carries, no download needed.

    Values 0 .. 16 are scaled to 0 .. 255. In each class the images are ordered by the SHA-256 of
    their pixels, which knows nothing of writer or position in the file, and every fifth goes to
    the test split: 1,433 train and 364 test images. No two of the images are equal.

    Args:
        split: ``"train"`` or ``"test"``.

    Raises:
        ImportError: without scikit-learn.
    """
    choice("split", split, SPLITS)
    from sklearn.datasets import load_digits

    source = load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)
    labels = source.target.astype(np.int64)
    digest = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    held_out = np.zeros(len(labels), bool)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        held_out[members[np.argsort(digest[members])][::5]] = True
    keep = held_out if split == "test" else ~held_out
    return Digits(images[keep], labels[keep], split)
