from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets import Digits, OfficialSyncMNIST, label_pair, mnist, sklearn_digits


@pytest.fixture(scope="module")
def official(data_root: Path) -> OfficialSyncMNIST:
    path = data_root / "sync_mnist" / "five_digit_test_paths.npz"
    return OfficialSyncMNIST(mnist(data_root / "mnist", "test"), path)


def test_labels_follow_from_the_pairs(official: OfficialSyncMNIST) -> None:
    scenes = official.scenes(np.arange(len(official)))
    assert len(official) == 10_000
    assert (scenes.label == 45).sum() == 123
    for label, classes in zip(scenes.label.tolist(), scenes.digit_class.tolist(), strict=True):
        if label != 45:
            assert label_pair(label) == tuple(sorted(classes[:2]))
    assert (scenes.synchronous[scenes.label != 45] == [True, True, False, False, False]).all()
    assert not scenes.synchronous[scenes.label == 45].any()


def test_pairs_step_alike_in_exactly_the_synchronous_clips(official: OfficialSyncMNIST) -> None:
    scenes = official.scenes(np.arange(len(official)))
    step = np.diff(scenes.top_left, axis=1)
    assert ((step[:, :, 0] == step[:, :, 1]).all((1, 2)) == scenes.synchronous[:, 0]).all()
    assert (step.min(), step.max()) == (-10, 9)


def test_frames_are_those_of_the_rule(
    official: OfficialSyncMNIST, drawn_by_loops: Callable[..., np.ndarray]
) -> None:
    numbers = np.r_[0:20, np.flatnonzero(official.scenes(np.arange(10_000)).label == 45)[:4]]
    video = official.batch(numbers)["video"].numpy()
    scenes = official.scenes(numbers)
    off = 0
    for clip, (image, corners) in enumerate(zip(scenes.image, scenes.top_left, strict=True)):
        loops = drawn_by_loops(official.digits.images[image], corners, 100, 64, True)
        difference = np.abs(video[clip, :, 0].astype(int) - loops)
        assert difference.max() <= 1
        off += int((difference > 0).sum())
    assert off < 1e-3 * video.size


# What follows needs no data: three clips of two digits over made-up images.
GOOD: dict[str, np.ndarray] = {
    "mnist_index": np.array([[0, 11], [1, 12], [2, 13]], np.uint16),
    "top_left": np.full((3, 4, 2, 2), 72, np.uint8),
    "digit_class": np.array([[0, 1], [1, 2], [2, 3]], np.uint8),
    "synchronous": np.array([True, False, True]),
}


def save(folder: Path, **changes: Any) -> Path:
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    np.savez(folder / "paths.npz", **fields)
    return folder / "paths.npz"


def test_a_file_of_any_size_is_read(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = OfficialSyncMNIST(digits, save(tmp_path))
    assert dataset.batch([2, 1])["label"].tolist() == [5, 45]
    assert dataset[0]["video"].shape == (4, 1, 64, 64)
    (tmp_path / "sync_mnist").mkdir()
    save(tmp_path).rename(tmp_path / "sync_mnist" / "five_digit_test_paths.npz")
    monkeypatch.setenv("STGRAPH_DATA", str(tmp_path))
    assert len(OfficialSyncMNIST(digits)) == 3
    monkeypatch.delenv("STGRAPH_DATA")
    with pytest.raises(InputError, match="path: expected a file of paths, or STGRAPH_DATA"):
        OfficialSyncMNIST(digits)


def test_the_order_of_drawing_can_be_taken_away_as_a_hint(tmp_path: Path, digits: Digits) -> None:
    path = save(tmp_path, **{name: np.repeat(field, 50, axis=0) for name, field in GOOD.items()})
    first = OfficialSyncMNIST(digits, path)
    shuffled, again, other = (OfficialSyncMNIST(digits, path, "random", s) for s in (0, 0, 1))
    index = np.arange(150)
    one, new = first.scenes(index), shuffled.scenes(index)
    turned = (new.image != one.image).any(1)
    assert 50 < turned.sum() < 100  # of two digits, in about a half of the clips
    assert (new.label == one.label).all()
    for name in ("image", "digit_class", "synchronous"):
        assert (getattr(new, name)[turned] == getattr(one, name)[turned][:, ::-1]).all()
        assert (getattr(new, name)[~turned] == getattr(one, name)[~turned]).all()
    assert (new.top_left[turned] == one.top_left[turned][:, :, ::-1]).all()
    assert (again.scenes(index).image == new.image).all()
    assert (again.scenes(index[40:50]).image == new.image[40:50]).all()
    assert (other.scenes(index).image != new.image).any()
    with pytest.raises(InputError, match="draw_order: expected one of 'synchronous_first', 'ran"):
        OfficialSyncMNIST(digits, path, "first")
    with pytest.raises(InputError, match="seed: expected a whole number"):
        OfficialSyncMNIST(digits, path, "random", -1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synchronous": None}, "expected fields mnist_index, top_left"),
        ({"mnist_index": GOOD["mnist_index"].astype(float)}, r"expected unsigned \[n, M\], got fl"),
        ({"mnist_index": GOOD["mnist_index"] + 50}, "mnist_index: expected below 60, .* 50 to 63"),
        ({"mnist_index": np.zeros((0, 2), np.uint16)}, r"mnist_index: .*got uint16 \[0, 2\]"),
        ({"top_left": GOOD["top_left"] + 1}, "top_left: expected corners from 0 to 72, .* to 73"),
        ({"top_left": GOOD["top_left"][:, :, :1]}, r"top_left: .*got uint8 \[3, 4, 1, 2\]"),
        ({"top_left": GOOD["top_left"][0]}, r"expected unsigned \[n, T, M, 2\]"),
        ({"digit_class": GOOD["digit_class"] + 1}, "digit_class: expected the classes of the im"),
        ({"synchronous": GOOD["synchronous"].astype(int)}, r"synchronous: expected bool \[n\]"),
        ({"synchronous": GOOD["synchronous"][:2]}, r"got bool \[2\]"),
        ({"digit_class": np.array([[None, 1]])}, "expected an .npz file of arrays"),
    ],
)
def test_fields_that_do_not_fit_are_refused(
    tmp_path: Path, digits: Digits, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        OfficialSyncMNIST(digits, save(tmp_path, **changes))


def test_files_that_are_no_archives_are_refused(tmp_path: Path, digits: Digits) -> None:
    with pytest.raises(InputError, match=r"none\.npz: expected .*, got a file that does not exist"):
        OfficialSyncMNIST(digits, tmp_path / "none.npz")
    whole = save(tmp_path).read_bytes()
    spoilt = bytearray(whole)
    spoilt[200] ^= 255
    np.save(tmp_path / "array.npy", np.zeros(3))
    for data in (b"", whole[:-30], bytes(spoilt), (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "paths.npz").write_bytes(data)
        with pytest.raises(InputError, match=r"expected an \.npz file of arrays"):
            OfficialSyncMNIST(digits, tmp_path / "paths.npz")


def test_other_digits_are_refused(tmp_path: Path, digits: Digits) -> None:
    train = Digits(digits.images, digits.labels, "train")
    for other in (train, sklearn_digits("test")):
        with pytest.raises(InputError, match="digits: expected MNIST's test images"):
            OfficialSyncMNIST(other, save(tmp_path))
