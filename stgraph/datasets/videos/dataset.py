"""Clips of videos that a list of entries names: what all data sets of videos share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stgraph.checks import InputError
from stgraph.datasets.draws import Ints, Words, words
from stgraph.datasets.videos.bad import raise_error
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.cuts import CentreClips, ClipRule
from stgraph.datasets.videos.cutting import Unseen, UnseenViews, unseen
from stgraph.datasets.videos.entries import Entry, stretch
from stgraph.datasets.videos.reading import decoder, open_video
from stgraph.reading import reason

__all__ = ["Annotations", "OnError", "VideoClips"]

Annotations = Callable[[Entry, Tensor, tuple[int, int], View], dict[str, Tensor]]
"""What is known of a clip beside its pixels: ``(entry, frames [T], (H, W), view) → fields``."""
OnError = Callable[[Entry, InputError], NoReturn]
"""What happens to a clip that cannot be read: it raises something."""


class VideoClips(Dataset[dict[str, Any]]):
    """Clips of the videos that some entries name, read when they are asked for.

    ``dataset[i]`` is one clip, of these fields and those of its annotations:

    ========  ================================================================================
    video     uint8 [T, 3, h, w]; of a rule with V > 1 views [V, T, 3, h, w]
    label     whole number, where the data set has labels
    index     i
    ========  ================================================================================

    Random draws come from torch's generator, which :class:`~stgraph.datasets.ItemLoader` seeds for
    each clip.

    Args:
        entries: the clips.
        label_names: the labels in words, by number; none for clips without labels.
        clips: how clips are cut: :class:`~stgraph.datasets.videos.TrainClips`,
            :class:`~stgraph.datasets.videos.CentreClips`,
            :func:`~stgraph.datasets.videos.protocol` …
        annotations: boxes, masks and whatever else belongs to the frames of a clip.
        on_error: what happens to a clip whose video or annotations cannot be read:
            :func:`~stgraph.datasets.videos.raise_error` or :func:`~stgraph.datasets.videos.skip`.

    Raises:
        InputError: when there is no clip, some have labels and some have none, or a label has no
            name.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        label_names: Sequence[str] = (),
        clips: ClipRule | None = None,
        annotations: Annotations | None = None,
        on_error: OnError = raise_error,
    ) -> None:
        self.entries = list(entries)
        self.label_names = list(label_names)
        self.clips = CentreClips() if clips is None else clips
        self.annotations = annotations
        self.on_error = on_error
        if not self.entries:
            raise InputError("entries", "at least one clip", "none")
        labels = {entry.label for entry in self.entries}
        if None in labels and len(labels) > 1:
            bare = next(entry for entry in self.entries if entry.label is None)
            raise InputError("entries", "a label for each clip, or for none", _name(bare))
        for label in labels:
            if label is not None and not 0 <= label < len(self.label_names):
                raise InputError("entries", f"labels below {len(self.label_names)}", label)
        flips = self.clips.flips
        self._mirrors = [] if flips is None else flips.table(self.label_names)

    @property
    def decoder(self) -> dict[str, str]:
        """What decodes the videos here, to be noted with results."""
        return decoder()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = int(index) + (len(self) if index < 0 else 0)
        if not 0 <= number < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        entry = self.entries[number]
        key = int(torch.randint(1 << 62, ()))
        drawn = words(key, np.array([0]), self.clips.draws)[0]
        with self._readable(entry):
            frames, pixels = self._read(entry, drawn)  # [S, T], of each number once
        label, flip = self._mirror(entry.label, drawn)
        size = (pixels.shape[-2], pixels.shape[-1])
        views = [replace(view, flip=flip) for view in self.clips.views(*size, drawn)]
        shown = self._shown([unseen(pixels, view) for view in views], drawn)
        order = torch.from_numpy(frames)
        place = torch.searchsorted(torch.from_numpy(np.unique(frames)), order)
        with self._readable(entry):
            clips = [
                {"video": of(rows), **self._annotated(entry, numbers, size, view)}
                for numbers, rows in zip(order, place, strict=True)
                for view, of in zip(views, shown, strict=True)
            ]
        clip = clips[0] if len(clips) == 1 else {name: _together(clips, name) for name in clips[0]}
        return {**clip, **({} if label is None else {"label": label}), "index": number}

    def _shown(
        self, parts: Sequence[Unseen], drawn: Words
    ) -> list[Callable[[Tensor], Tensor | Unseen]]:
        """What gives some frames of each view, by their numbers; each frame is resized once."""
        change = partial(self.clips.coloured, words=drawn)
        if self.clips.later:
            return [partial(part.of, change=change) for part in parts]
        made = [part.made("cpu") for part in parts]
        return [partial(_some, one, change) for one in made]

    def _read(self, entry: Entry, drawn: Words) -> tuple[Ints, Tensor]:
        """Numbers of the frames ``[S, T]``, and the pixels of each of them once, in order."""
        video = open_video(entry.path)
        part = stretch(video, entry)
        frames = self.clips.frames(len(part), drawn) + part.start
        return frames, video.read(np.unique(frames))

    @contextmanager
    def _readable(self, entry: Entry) -> Iterator[None]:
        """Leave it to the policy what happens where the files of a clip cannot be read."""
        try:
            yield
            return
        except InputError as error:
            bad = error
        except OSError as error:  # no right to read, a disk that fails
            bad = InputError(str(entry.path), "a video that can be read", reason(error))
        self.on_error(entry, bad)
        raise bad  # where a policy of another's does nothing

    def _mirror(self, label: int | None, drawn: Words) -> tuple[int | None, bool]:
        """The label that a clip comes to have, and whether it is mirrored."""
        flips = self.clips.flips
        if flips is None or not flips.drawn(drawn):
            return label, False
        if label is None:
            return None, True
        other = self._mirrors[label]
        return (label, False) if other is None else (other, True)

    def _annotated(
        self, entry: Entry, frames: Tensor, size: tuple[int, int], view: View
    ) -> dict[str, Tensor]:
        return {} if self.annotations is None else self.annotations(entry, frames, size, view)


def _some(video: Tensor, change: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Some frames of a video, by their numbers, in the colours that they come to have."""
    return change(video[rows])


def _together(clips: Sequence[Mapping[str, Any]], name: str) -> Any:
    """A field of all views of a clip."""
    column = [clip[name] for clip in clips]
    return UnseenViews(column) if isinstance(column[0], Unseen) else torch.stack(column)


def _name(entry: Entry) -> str:
    return entry.name or str(entry.path)
