from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from stgraph.datasets.resize import Resizer, tent_weights

SIZES = [
    ((100, 100), (64, 64)),
    ((256, 256), (128, 128)),
    ((90, 60), (30, 20)),
    ((20, 30), (45, 30)),
]


@pytest.fixture
def _loose_products() -> Iterator[None]:
    """Let products of matrices round their factors, where the machine can."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def frames(size: tuple[int, int], count: int = 12) -> torch.Tensor:
    made = torch.randint(0, 256, (count, *size), dtype=torch.uint8)
    made[: count // 2][torch.rand(count // 2, *size) < 0.8] = 0  # black and white borders too
    made[-1] = 255
    return made


def by_pillow(frame: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(frame.numpy())
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_resize_is_pillows(source: tuple[int, int], target: tuple[int, int]) -> None:
    given = frames(source)
    ours = Resizer(source, target)(given).numpy().astype(int)
    pillow = np.stack([by_pillow(frame, target) for frame in given]).astype(int)
    assert np.abs(ours - pillow).max() <= 1
    assert (ours != pillow).mean() < 5e-3
    assert (ours[-1] == 255).all()


@pytest.mark.parametrize(("source", "target"), [(100, 64), (256, 128), (8, 8), (8, 20), (5, 1)])
def test_rows_of_weights_sum_to_1(source: int, target: int) -> None:
    weights = tent_weights(source, target)
    assert weights.shape == (target, source)
    assert np.allclose(weights.sum(1), 1)
    assert weights.min() >= 0
    assert np.allclose(weights, weights[::-1, ::-1])


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_a_frame_is_the_same_in_any_batch(
    source: tuple[int, int], target: tuple[int, int], device: torch.device
) -> None:
    given = frames(source)
    resize = Resizer(source, target)
    alone = torch.cat([resize(frame[None].to(device)) for frame in given]).cpu()
    assert torch.equal(resize(given.to(device)).cpu(), alone)
    assert torch.equal(resize(given), alone)


@pytest.mark.usefixtures("_loose_products")
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_loose_products_change_nothing(
    source: tuple[int, int], target: tuple[int, int], device: torch.device
) -> None:
    given = frames(source)
    loose = Resizer(source, target)(given.to(device)).cpu()
    torch.set_float32_matmul_precision("highest")
    assert torch.equal(loose, Resizer(source, target)(given))


def test_autocast_changes_nothing(device: torch.device) -> None:
    given, resize = frames((100, 100)), Resizer((100, 100), (64, 64))
    with torch.autocast(device.type, torch.bfloat16):
        cast = resize(given.to(device)).cpu()
    assert torch.equal(cast, resize(given))


def test_the_same_size_is_the_same_frames() -> None:
    given = frames((32, 32))
    assert Resizer((32, 32), (32, 32))(given) is given
