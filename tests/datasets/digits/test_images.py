from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets import Digits, mnist, sklearn_digits
from stgraph.datasets.digits import download
from stgraph.datasets.digits.images import default_root

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def pack(values: np.ndarray) -> bytes:
    return (
        bytes((0, 0, 8, values.ndim))
        + struct.pack(f">{values.ndim}I", *values.shape)
        + bytes(values.astype(np.uint8).ravel())
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three test digits."""
    (tmp_path / IMAGES).write_bytes(pack(np.arange(3 * 4 * 5).reshape(3, 4, 5)))
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(pack(np.array([7, 0, 9]))))
    return tmp_path


def test_mnist_reads_both_files(root: Path) -> None:
    digits = mnist(root, "test")
    assert np.array_equal(digits.images, np.arange(60).reshape(3, 4, 5))
    assert digits.labels.tolist() == [7, 0, 9]
    assert (digits.split, digits.size, len(digits)) == ("test", (4, 5), 3)
    assert repr(digits) == "Digits(3 images, 4×5, split='test')"


@pytest.mark.parametrize("folder", ["raw", "MNIST/raw"])
def test_mnist_looks_into_the_folders_of_torchvision(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True)
    for path in list(root.glob("t10k*")):
        path.rename(root / folder / path.name)
    assert mnist(str(root), "test").labels.tolist() == [7, 0, 9]


def test_the_default_root(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("STGRAPH_DATA", "/data")
    assert default_root() == Path("/data/mnist")
    monkeypatch.delenv("STGRAPH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/stgraph/mnist")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_root() == Path("/home/ada/.cache/stgraph/mnist")
    monkeypatch.setenv("STGRAPH_DATA", str(root.parent))
    root.rename(root.parent / "mnist")
    assert len(mnist(split="test")) == 3


def test_a_root_without_data_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        mnist(tmp_path / "nowhere")
    message = str(caught.value)
    for part in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", str(tmp_path / "nowhere")):
        assert part in message
    assert "download=True" in message
    assert message.endswith("got neither")
    assert not any(tmp_path.iterdir())


def test_images_without_labels_are_refused(root: Path) -> None:
    (root / f"{LABELS}.gz").unlink()
    with pytest.raises(InputError, match=f"got only .*{IMAGES}"):
        mnist(root, "test")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, 2]), "expected 3 labels, as .*images.* has images, got 2"),
        (np.array([1, 2, 10]), "expected classes 0 to 9, got 10"),
        (np.zeros((3, 2, 2)), "1 dimensions .*got magic 0x00000803"),
    ],
)
def test_labels_that_do_not_fit_are_refused(root: Path, labels: np.ndarray, message: str) -> None:
    (root / LABELS).write_bytes(pack(labels))
    with pytest.raises(InputError, match=message):
        mnist(root, "test")


def test_unknown_splits_are_refused() -> None:
    for source in (lambda: mnist(split="val"), lambda: sklearn_digits("val")):
        with pytest.raises(InputError, match="split: expected one of 'train', 'test', got 'val'"):
            source()


def test_what_is_missing_is_downloaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def deliver(name: str, folder: Path) -> Path:
        asked.append((name, folder))
        (folder / name).write_bytes(gzip.compress(pack(np.array([1, 2, 3]))))
        return folder / name

    monkeypatch.setattr(download, "mnist_file", deliver)
    assert mnist(root, "test", download=True).labels.tolist() == [7, 0, 9]
    assert not asked
    (root / f"{LABELS}.gz").unlink()
    assert mnist(root, "test", download=True).labels.tolist() == [1, 2, 3]
    assert asked == [(f"{LABELS}.gz", root)]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4)), np.zeros(2, np.int64), r"images: expected uint8 \[n, h, w\]"),
        (np.zeros((2, 16), np.uint8), np.zeros(2, np.int64), r"got uint8 \[2, 16\]"),
        (np.zeros((0, 4, 4), np.uint8), np.zeros(0, np.int64), r"got uint8 \[0, 4, 4\]"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(3, np.int64), r"expected int64 \[2\]"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.uint8), "labels: expected int64"),
        (np.zeros((2, 4, 4), np.uint8), np.array([0, 10]), "expected classes 0 to 9"),
        (np.zeros((2, 4, 4), np.uint8), np.array([-1, 1]), "expected classes 0 to 9"),
    ],
)
def test_digits_are_checked(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Digits(images, labels)


def test_sklearn_digits_are_split_within_each_class() -> None:
    train, test = sklearn_digits("train"), sklearn_digits("test")
    assert (len(train), len(test)) == (1433, 364)
    assert train.size == (8, 8)
    assert (train.images.min(), train.images.max()) == (0, 255)
    share = np.bincount(test.labels) / np.bincount(np.r_[train.labels, test.labels])
    assert np.abs(share - 0.2).max() < 0.01
    everything = [image.tobytes() for image in (*train.images, *test.images)]
    assert len(set(everything)) == 1797


@pytest.mark.parametrize(("split", "count", "first"), [("train", 60_000, 5), ("test", 10_000, 7)])
def test_real_mnist(data_root: Path, split: str, count: int, first: int) -> None:
    digits = mnist(data_root / "mnist", split)
    assert digits.images.shape == (count, 28, 28)
    assert digits.labels[0] == first
    assert digits.images.max() == 255
