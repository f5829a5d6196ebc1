"""Digits to test with, and the drawing rule in plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stgraph.datasets import Digits, SyncMNIST, sklearn_digits


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Images of MNIST's size: noise in a ragged blob, of every class."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    images[random.random(images.shape) < 0.4] = 0
    images[:, :4], images[:, 24:], images[:, :, :5], images[:, :, 22:] = 0, 0, 0, 0
    return Digits(images, np.arange(60, dtype=np.int64) % 10, "test")


@pytest.fixture(scope="session")
def small() -> SyncMNIST:
    """The small task of the demo."""
    return SyncMNIST(
        sklearn_digits(),
        num_digits=3,
        num_classes=5,
        frames=6,
        canvas=32,
        size=32,
        step=8,
        p_none=1 / 11,
    )


Frames = NDArray[np.uint8]


@pytest.fixture(scope="session")
def drawn_by_loops() -> Callable[..., Frames]:
    """One clip drawn frame by frame, digit by digit, with Pillow's resize."""

    def draw(
        images: Frames, corners: NDArray[np.int64], canvas: int, size: int, stretch: bool
    ) -> Frames:
        frames = []
        for frame in corners:  # [M, 2]
            drawn = np.zeros((canvas, canvas))
            for image, (row, col) in zip(images, frame, strict=True):
                for y, x in np.argwhere(image >= 10):
                    drawn[row + y, col + x] = image[y, x]
            if stretch:
                drawn = (drawn - drawn.min()) * (255 / (drawn.max() - drawn.min() or 1)) + 0.5
            whole = Image.fromarray(drawn.astype(np.uint8))
            frames.append(np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR)))
        return np.stack(frames)

    return draw
