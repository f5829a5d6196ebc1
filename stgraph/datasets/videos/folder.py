"""Videos in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from stgraph.checks import InputError, printable
from stgraph.datasets.videos.bad import raise_error
from stgraph.datasets.videos.cuts import ClipRule
from stgraph.datasets.videos.dataset import Annotations, OnError, VideoClips
from stgraph.datasets.videos.entries import Entry
from stgraph.datasets.videos.reading import IMAGES
from stgraph.reading import reason

__all__ = ["VIDEOS", "VideoFolder", "videos_in"]

VIDEOS = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "asf", "avi", "flv", "gif", "h264", "h265", "ivf", "m2ts", "m4v", "mkv", "mov"),
        *("mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv", "y4m"),
    )
)
"""Endings of files that are taken for videos."""


class VideoFolder(VideoClips):
    """Videos in folders, one a class: ``root/CLASS/clip.mp4`` or ``root/CLASS/clip/00001.jpg``.

    A video is a file with one of the endings that videos have, or a folder with images and no such
    file; folders in between count as parts of names. Classes are the folders' names, in the order
    of the alphabet. Links are followed, what begins with a dot is left alone.

    Args:
        root: the folder of the classes.
        clips: how clips are cut, see :class:`~stgraph.datasets.videos.VideoClips`.
        annotations: boxes, masks and the like.
        on_error: what happens to a clip that cannot be read.
        classes: the classes in their order, where it is not the folders': each is a folder; others
            are left alone. So a test set that lacks a class has the numbers of the training set.

    Raises:
        InputError: when there is no such folder, no class in it, or a class without videos.
    """

    def __init__(
        self,
        root: str | Path,
        clips: ClipRule | None = None,
        annotations: Annotations | None = None,
        on_error: OnError = raise_error,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError("root", "a folder with a folder for each class", f"{root}")
        if classes is None:
            found = (path for path in self.root.iterdir() if path.is_dir())
            classes = sorted(path.name for path in found if path.name[0] != ".")
        if not classes:
            raise InputError("root", "a folder with a folder for each class", f"{root}, with none")
        entries = []
        for label, name in enumerate(classes):
            paths = videos_in(self.root / name)
            if not paths:
                raise InputError("root", f"videos in {self.root / name}", "none")
            entries += [Entry(path, label, _relative(path, self.root)) for path in paths]
        super().__init__(
            entries, [printable(name) for name in classes], clips, annotations, on_error
        )


def videos_in(folder: Path) -> list[Path]:
    """All videos below a folder, files and folders of images, sorted by their paths.

    Raises:
        InputError: when there is no such folder, or one in it cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:  # what cannot be looked into is not left out in silence
        told = f"{error.filename} ({reason(error)})"
        raise InputError("path", "folders that can be read", told) from error

    if not folder.is_dir():
        raise InputError("path", "a folder of videos", f"{folder}, which is none")
    found: list[Path] = []
    known = {folder.resolve()}  # a link may lead to what it is in
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(place)
        kept = sorted(name for name in folders if name[0] != ".")
        real = {name: (here / name).resolve() for name in kept}
        folders[:] = [name for name in kept if real[name] not in known]
        known |= set(real.values())
        seen = [here / name for name in files if name[0] != "."]
        videos = [path for path in seen if path.suffix.lower() in VIDEOS]
        found += videos
        images = any(path.suffix.lower() in IMAGES for path in seen)
        if images and not videos and here != folder:
            found.append(here)
    return sorted(found)


def _relative(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())
