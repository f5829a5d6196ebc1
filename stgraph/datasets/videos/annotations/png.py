"""Masks of index images, a folder a video, as DAVIS and its kin have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError, integer
from stgraph.datasets.videos.annotations.masks import Looked, Mask, Masks
from stgraph.datasets.videos.annotations.table import MOST_BOXES
from stgraph.datasets.videos.entries import Entry
from stgraph.datasets.videos.reading import MOST_PIXELS
from stgraph.reading import opened

__all__ = ["PngMasks"]

_MODES = ("P", "L", "1", "I;16")


class PngMasks(Masks):
    """Masks of PNG images ``root/video/00000.png`` whose pixels say which thing they show (DAVIS).

    A pixel's value (of an image with a palette, its index) is the thing's number, the same in all
    frames; 0 is the background. The number in an image's name is that of its frame. Frames without
    an image are not annotated.

    Args:
        root: folder of the videos' folders, each called as its clip is, with or without the ending
            of a file.
        slots: M, as of :class:`Masks`.
        size: as of :class:`Masks`.
        missing: as of :class:`Masks`.
        first: number of the first frame of a video, 0 for DAVIS.
        void: values that are no things either; 255 is what was not decided.

    Raises:
        InputError: when there is no such folder; for a clip, when an image is damaged, has colours,
            or two are of one frame.
    """

    def __init__(
        self,
        root: str | Path,
        slots: int = 10,
        size: Sequence[int] | None = None,
        missing: str = "empty",
        first: int = 0,
        void: Sequence[int] = (255,),
    ) -> None:
        super().__init__(slots, size, missing)
        self.root, self.source = Path(root), str(root)
        if not self.root.is_dir():
            raise InputError("root", "a folder with a folder of PNG masks a video", root)
        self.first = integer("first", first, 0)
        self.void = [integer("void", value, 0) for value in void]

    def find(self, entry: Entry, frames: NDArray[np.int64]) -> tuple[list[Mask], Looked]:
        """The masks of a clip's frames, from their images."""
        files = self._files(entry.known_as)
        found = []
        for place, frame in enumerate(frames.tolist()):
            if frame not in files:
                continue
            values = _indices(files[frame])
            things = [int(value) for value in np.unique(values) if value not in (0, *self.void)]
            if len(things) > MOST_BOXES:
                raise InputError(str(files[frame]), f"at most {MOST_BOXES} things", len(things))
            for thing in things:
                draw = partial(_where, values, thing)
                found.append(Mask(values.shape, draw, place, thing, 1, 1.0))
        return found, np.array([frame in files for frame in frames.tolist()], dtype=np.bool_)

    def _files(self, name: str) -> dict[int, Path]:
        """The images of a video, by the number of their frame."""
        folder = self.root / name
        if not folder.is_dir():
            folder = folder.with_suffix("")
        if not name or ".." in Path(name).parts or not folder.is_dir():
            return {}
        files: dict[int, Path] = {}
        for file in folder.glob("*.png"):
            number = re.fullmatch(r"\D*(\d{1,9})", file.stem)
            if number is None:
                continue
            frame = int(number[1]) - self.first
            if frame < 0 or frame in files:
                expected = f"one image a frame, from number {self.first} on"
                raise InputError(str(folder), expected, file.name)
            files[frame] = file
        return files


def _where(values: NDArray[np.integer], thing: int) -> NDArray[np.uint8]:
    here: NDArray[np.bool_] = values == thing
    return here.view(np.uint8)


def _indices(path: Path) -> NDArray[np.integer]:
    """The values of an index image ``[H, W]``."""
    from PIL import Image

    with opened(path, "a PNG image of indices") as file, Image.open(file, formats=["PNG"]) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{height} × {width} pixels, more than {MOST_PIXELS}")
        if image.mode not in _MODES:
            raise ValueError(f"colours ({image.mode})")
        values: NDArray[np.integer] = np.asarray(image)
        return values.astype(np.int32)
