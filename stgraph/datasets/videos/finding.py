"""Which videos a word of a command line names: a file, a folder, a list or a manifest."""

from __future__ import annotations

from pathlib import Path

from stgraph.checks import InputError, printable
from stgraph.datasets.videos.entries import Entry
from stgraph.datasets.videos.folder import videos_in
from stgraph.datasets.videos.reading import IMAGES
from stgraph.reading import read_text, reason

__all__ = ["find_videos"]

_LISTS = frozenset({".txt", ".lst", ".list"})
_MANIFESTS = frozenset({".csv", ".jsonl", ".parquet"})


def find_videos(path: str | Path) -> tuple[list[Entry], list[str]]:
    """All videos that a path leads to.

    ======================  ======================================================================
    a folder of images      one video
    another folder          all videos in it and in folders in it; where they lie in folders only,
                            the outermost ones are their classes
    ``.txt``, ``.lst``      a list, a path a line, from the list's own folder on; each once
    ``.csv``, ``.jsonl`` …  a manifest (:class:`~stgraph.datasets.videos.VideoManifest`)
    any other file          one video
    ======================  ======================================================================

    Returns:
        The clips, and the names of their labels.

    Raises:
        InputError: when there is nothing there, or no video in it.
    """
    try:
        return _found(Path(path))
    except OSError as error:  # no right to, a name that is too long
        expected = "a video, a folder of videos or a list"
        raise InputError("path", expected, f"{path} ({reason(error)})") from error


def _found(place: Path) -> tuple[list[Entry], list[str]]:
    if not place.exists():
        raise InputError("path", "a video, a folder of videos or a list", f"{place}, which is none")
    if place.is_dir():
        return _of_folder(place)
    if place.suffix.lower() in _LISTS:
        return _of_list(place), []
    if place.suffix.lower() in _MANIFESTS:
        from stgraph.datasets.videos.manifest import VideoManifest

        manifest = VideoManifest(place)
        return manifest.entries, manifest.label_names
    return [Entry(place, name=printable(place.name))], []


def _of_folder(folder: Path) -> tuple[list[Entry], list[str]]:
    if any(file.suffix.lower() in IMAGES for file in folder.iterdir() if file.name[0] != "."):
        return [Entry(folder, name=printable(folder.name))], []
    found = [(path, path.relative_to(folder)) for path in videos_in(folder)]
    if not found:
        raise InputError("path", "a folder with videos in it", f"{folder}, with none")
    grouped = all(len(name.parts) > 1 for _, name in found)
    classes = sorted({name.parts[0] for _, name in found}) if grouped else []
    number = {name: label for label, name in enumerate(classes)}
    entries = [
        Entry(path, number.get(name.parts[0]), printable(name.as_posix())) for path, name in found
    ]
    return entries, [printable(name) for name in classes]


def _of_list(place: Path) -> list[Entry]:
    lines = [line.strip() for line in read_text(place, "a list of videos", "path").splitlines()]
    named = list(dict.fromkeys(line for line in lines if line and line[0] != "#"))
    if not named:
        raise InputError("path", "a list with a video a line", f"{place}, with none")
    return [Entry(place.parent / line, name=line) for line in named]
