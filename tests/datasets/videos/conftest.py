"""Videos whose frames tell their numbers, as folders of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Frames = Callable[..., Path]


@pytest.fixture
def frames() -> Frames:
    """Write a folder of frames: frame i has grey level 10 i, and a white left half."""
    image = pytest.importorskip("PIL.Image")

    def write(folder: Path, count: int = 12, size: tuple[int, int] = (24, 32)) -> Path:
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.full((*size, 3), 10 * number % 256, np.uint8)
            pixels[:, : size[1] // 2, 0] = 255
            image.fromarray(pixels).save(folder / f"{number + 1:05d}.png")
        return folder

    return write


@pytest.fixture
def classes(frames: Frames, tmp_path: Path) -> Path:
    """Four clips in two classes."""
    for label in ("turn left", "turn right"):
        for number in range(2):
            frames(tmp_path / "clips" / label / f"clip {number}", 12 + number)
    return tmp_path / "clips"
