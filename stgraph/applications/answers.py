"""A model's answers to videos: frame by frame where it is causal, clip by clip where it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stgraph.applications.trained import Trained
from stgraph.causality import waiting
from stgraph.checks import InputError, integer
from stgraph.datasets.videos import Entry, Video, open_video, seen, stretch
from stgraph.datasets.videos.live import Pace
from stgraph.precision import precise

__all__ = ["Answered", "Latency", "answer_clips", "answer_frames", "streams", "timed_frames"]


class Answered(NamedTuple):
    """What a model answers, after some frames."""

    probabilities: Tensor
    """``[K]``, of all frames so far; on the CPU."""
    frames: int
    """How many the model has seen."""
    seconds: float | None
    """When the newest of them is shown in the video, where that is known."""
    latency: float
    """Seconds that the model took for the newest piece."""

    @property
    def label(self) -> int:
        """The likeliest answer."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """Of the likeliest answer."""
        return float(self.probabilities.max())


def streams(trained: Trained) -> tuple[bool, str]:
    """Whether a model answers a video piece by piece, and why (not), in words."""
    model = trained.module.model
    if getattr(model, "causal", None) is True:
        return True, "the model is causal"
    late = waiting(model)
    if late:
        need = "needs" if len(late) == 1 else "need"
        return False, f"{', '.join(late)} {need} the whole clip at once"
    return False, f"{type(model).__name__} does not say that it is causal"


@torch.inference_mode()
def answer_clips(trained: Trained, entry: Entry) -> Iterator[Answered]:
    """Answer a video as a test of the run would, from the frames that its rule chooses.

    Where there are several views their logits are averaged. A causal model is given a frame at a
    time, so that there is an answer after each; the last one is that of the whole clip.

    Raises:
        InputError: when the video cannot be read.
    """
    video = trained.clips(entry)  # [V, T, c, h, w]
    pieces = torch.split(video, 1, dim=1) if streams(trained)[0] else (video,)
    yield from _answers(trained, ((piece, None) for piece in pieces))


@torch.inference_mode()
def answer_frames(
    trained: Trained, frames: Iterable[tuple[Tensor, float | None]], piece: int = 1
) -> Iterator[Answered]:
    """Answer a video of any length, from frames as they come.

    A causal model is given ``piece`` of them at a time, with its state, so that memory does not
    grow. Any other one is given clips of as many frames as it was trained on, one after another;
    logits are averaged over the clips so far.

    Args:
        trained: the model.
        frames: ``uint8 [3, H, W]``, each with its time in seconds.
        piece: frames at a time, for a causal model.

    Raises:
        InputError: on fewer frames than a clip has, for a model that is not causal.
    """
    causal = streams(trained)[0]
    count = integer("piece", piece) if causal else trained.clip_size[0]
    yield from _answers(trained, _pieces(trained, iter(frames), count, causal))


def timed_frames(entry: Entry, rate: float | None = None) -> Iterator[tuple[Tensor, float | None]]:
    """Frames of a video in order, each with its time, of which one at a time is in memory.

    Args:
        entry: the video, and from when to when.
        rate: frames a second at most; all frames if None.

    Raises:
        InputError: when the video cannot be read, or a rate is asked of one without times.
    """
    video: Video = open_video(entry.path)
    part, times, pace = stretch(video, entry), video.times, Pace(rate)
    if times is None and rate is not None:
        raise InputError("rate", f"none: {entry.path} does not say when frames are shown", rate)
    for number, pixels in enumerate(video.frames()):
        if number >= part.stop:
            return
        seconds = None if times is None else float(times[number] - times[part.start])
        if number >= part.start and (seconds is None or pace.takes(seconds)):
            yield pixels, seconds


def _words(trained: Trained) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.zeros(trained.rule.draws, dtype=np.uint64)


def _pieces(
    trained: Trained,
    frames: Iterator[tuple[Tensor, float | None]],
    count: int,
    causal: bool,
) -> Iterator[tuple[Tensor, float | None]]:
    """Pieces ``uint8 [V, t, c, h, w]`` of some frames each, with the time of their last one."""
    begun = False
    while group := list(islice(frames, count)):
        if len(group) < count and not causal:
            if not begun:
                raise InputError("video", f"at least the {count} frames of a clip", len(group))
            return  # the last answer stands
        begun = True
        pixels = torch.stack([pixels for pixels, _ in group])  # [t, 3, H, W]
        views = trained.rule.views(pixels.size(2), pixels.size(3), _words(trained))
        shown = torch.stack([seen(pixels, view) for view in views])  # [V, t, 3, h, w]
        yield trained.coloured(shown), group[-1][1]


def _answers(trained: Trained, pieces: Iterable[tuple[Tensor, float | None]]) -> Iterator[Answered]:
    """Answers after each piece ``uint8 [V, t, c, h, w]``."""
    causal = streams(trained)[0]
    module, state, seen_frames, total, clips = trained.module, None, 0, None, 0
    for video, seconds in pieces:
        begun = time.perf_counter()
        answer = module(video.to(module.device), state)
        logits = precise(answer.logits).mean(0)  # over views
        if causal:
            state = answer.state  # the answer is that of all frames so far
        else:
            clips += 1
            total = logits if total is None else total + logits
            logits = total / clips
        probabilities = logits.softmax(0).cpu()  # which waits for the device
        latency = time.perf_counter() - begun
        seen_frames += video.size(1)
        yield Answered(probabilities, seen_frames, seconds, latency)


class Latency:
    """Quantiles of many times in little memory: a histogram of steps of 2 %, from 1 µs on.

    Examples:
        >>> latency = Latency()
        >>> for time in (0.010, 0.010, 0.010, 0.500):
        ...     latency.add(time)
        >>> round(latency.quantile(0.5), 3), round(latency.quantile(0.99), 1), latency.count
        (0.01, 0.5, 4)
    """

    _STEP, _LEAST = math.log(1.02), 1e-6

    def __init__(self) -> None:
        self.count = 0
        self._bins: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count a time."""
        place = round(math.log(max(seconds, self._LEAST) / self._LEAST) / self._STEP)
        self._bins[place] = self._bins.get(place, 0) + 1
        self.count += 1

    def quantile(self, share: float) -> float:
        """The time that this share of all is not above, to 1 %; nan where there is none."""
        left = share * self.count
        for place in sorted(self._bins):
            left -= self._bins[place]
            if left <= 1e-9:
                return self._LEAST * math.exp(place * self._STEP)
        return math.nan
