"""Frames of a camera or a stream, as they come: the newest one, not all of them.

A thread reads all the time. Who is slower than the camera gets the newest frame each time, and the
frames between are dropped and counted, so that nobody lags behind and no memory fills up.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stgraph.checks import InputError, positive
from stgraph.datasets.videos.reading import bounded, open_library, reformatter, upright
from stgraph.reading import reason

__all__ = ["LiveFrame", "LiveVideo", "Pace", "live_video"]

_DEVICES = {"linux": ("v4l2", "/dev/video0"), "darwin": ("avfoundation", "default:none")}
_STREAMS = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt", "rtp")
_PATIENCE = 10.0  # seconds that a stream may take to open or to send more
_LEAVING = 2.0  # seconds that the reading thread gets to end


class LiveFrame(NamedTuple):
    """One frame of a live video."""

    pixels: Tensor
    """``uint8 [3, H, W]``, upright."""
    seconds: float
    """Since the first frame, by the stream's clock, or by count where it has none."""
    number: int
    """How many frames the stream had before this one."""


def live_video(word: str) -> LiveVideo | None:
    """The live video that a word of a command line names; ``None`` for anything else.

    ==========================  ==================================================================
    ``camera``                  the first camera
    ``camera:/dev/video2``      another one, by the system's name
    ``camera:FORMAT:SOURCE``    a device of FFmpeg: ``camera:dshow:video=Webcam``,
                                ``camera:lavfi:testsrc``
    ``rtsp://…``, ``udp://…``   a stream from the network
    ``-``                       standard input
    ==========================  ==================================================================

    Raises:
        InputError: for the first camera where the system has no name for it.

    Examples:
        >>> live_video("clip.mp4") is None, live_video("camera:/dev/video2").format
        (True, 'v4l2')
    """
    if word == "-":
        return LiveVideo("pipe:0")
    if word.split("://")[0] in _STREAMS and "://" in word:
        return LiveVideo(word)
    first, _, rest = word.partition(":")
    if first != "camera":
        return None
    form, _, source = rest.partition(":")
    if source and "/" not in form and not form.isdigit():
        return LiveVideo(source, form)
    if sys.platform not in _DEVICES:
        raise InputError("video", "camera:FORMAT:SOURCE, such as camera:dshow:video=NAME", word)
    form, default = _DEVICES[sys.platform]
    return LiveVideo(rest or default, form)


class Pace:
    """Which frames make a rate: the first one shown in each of equal intervals of time.

    Args:
        rate: frames a second at most; all frames if None.

    Examples:
        >>> pace = Pace(2)
        >>> [seconds for seconds in (0.0, 0.4, 0.8, 1.2, 1.6, 3.0) if pace.takes(seconds)]
        [0.0, 0.8, 1.2, 1.6, 3.0]
    """

    def __init__(self, rate: float | None = None) -> None:
        self.rate = None if rate is None else positive("rate", rate)
        self._last = -1

    def takes(self, seconds: float) -> bool:
        """Tell of the next frame, by its time, whether it is one of them."""
        if self.rate is None:
            return True
        interval = math.floor(seconds * self.rate + 1e-6)
        if interval <= self._last:
            return False
        self._last = interval
        return True


class LiveVideo:
    """A camera or a stream, read by a thread of its own within a ``with`` block.

    Iterating gives the newest frame each time, once it is there, until the stream ends.

    Args:
        source: a device, an address, or ``pipe:0``.
        format: of FFmpeg, where the source does not tell.
        rate: frames a second at most; the others are left out, which drops none.
        options: of FFmpeg's format, such as ``{"video_size": "640x480"}``.

    Raises:
        InputError: when the block begins and there is no such source, or while it is read.
    """

    def __init__(
        self,
        source: str,
        format: str | None = None,
        rate: float | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.format = source, format
        self.rate = None if rate is None else positive("rate", rate)
        self.options = dict(options or {})
        self.dropped = 0
        """Frames that came while nobody asked, and gave way to newer ones."""
        self._news = threading.Condition()
        self._newest: tuple[Any, float, int] | None = None
        self._ended, self._error = False, ""
        self._container: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LiveVideo:
        av = open_library()
        try:
            if self.format is not None:
                av.ContainerFormat(self.format, "r")
            self._container = av.open(
                self.source, format=self.format, options=self.options, timeout=_PATIENCE
            )
        except (ValueError, OSError, av.error.FFmpegError) as error:
            expected = f"a {self.format or 'stream'} that FFmpeg opens"
            raise InputError(self.source, expected, reason(error)) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(self.source, "a video stream", "none")
        self._thread = threading.Thread(target=self._read, name="live video", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._news:
            self._ended = True
        assert self._thread is not None
        self._thread.join(_LEAVING)  # a device that sends nothing holds it for longer

    def __iter__(self) -> Iterator[LiveFrame]:
        if self._thread is None:
            raise InputError("video", "a live video within its with block", "one outside")
        colours = reformatter(threads=1)
        while True:
            with self._news:
                self._news.wait_for(lambda: self._newest is not None or self._ended)
                taken, self._newest = self._newest, None
            if taken is None:
                if self._error:
                    raise InputError(self.source, "a stream that goes on", self._error)
                return
            frame, seconds, number = taken
            pixels = np.ascontiguousarray(upright(frame, colours).transpose(2, 0, 1))
            yield LiveFrame(torch.from_numpy(pixels), seconds, number)

    def _read(self) -> None:
        """Put the newest frame where it is taken from, until the block or the stream ends."""
        told = ""
        try:
            with self._container as container:
                self._frames(container)
        except Exception as error:  # of any kind: it is told to who takes the frames
            told = reason(error)
        with self._news:
            self._ended, self._error = True, told
            self._news.notify_all()

    def _frames(self, container: Any) -> None:
        stream = container.streams.video[0]
        usual = float(stream.average_rate or stream.guessed_rate or 25)
        first: float | None = None
        pace = Pace(self.rate)
        for number, frame in enumerate(container.decode(stream)):
            bounded(self.source, frame.height, frame.width)
            time = number / usual if frame.time is None else float(frame.time)
            first = time if first is None else first
            seconds = time - first
            taken = pace.takes(seconds)
            with self._news:
                if self._ended:
                    return
                if not taken:
                    continue
                self.dropped += self._newest is not None
                self._newest = (frame, seconds, number)
                self._news.notify_all()
