"""Any frames of a video, by number: from files that FFmpeg reads, and from folders of images.

Frame i is the i-th in the order of display. A file is first demuxed without being decoded, which
tells when each frame is shown and where decoding can begin. Then only the stretches that hold
wanted frames are decoded, and a frame is known by its time stamp, so order of decoding, variable
rates and long groups of pictures do not matter. Where time stamps are missing, stand twice or are
those of decoding, the file is decoded from its beginning, and frames are counted. Both ways give
the same pixels.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stgraph.checks import InputError, integer
from stgraph.datasets.videos.index import FrameIndex, identity, indexed
from stgraph.reading import reason

__all__ = ["FrameFolder", "Video", "VideoFile", "decoder", "open_video", "reformatter"]

MOST_PIXELS = 1 << 26
"""Of one frame, 8192 × 8192; a file that claims more is refused before memory is taken."""
MOST_FRAMES = 1 << 22
"""Of one video, more than a day at 30 a second."""
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_LEADING_ELSEWHERE = frozenset(
    {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "webm_dash_manifest"}
)
Pixels = NDArray[np.uint8]


def decoder() -> dict[str, str]:
    """What decodes here, and its version, to be noted with results.

    Examples:
        >>> sorted(decoder())
        ['Pillow', 'PyAV', 'libavcodec', 'libswscale']
    """
    av, pillow = open_library(), _pillow()
    libraries = {
        name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")
    }
    return {"PyAV": av.__version__, "Pillow": pillow.__version__, **libraries}


def open_video(path: str | Path) -> Video:
    """A video by its path: a folder of images, or a file.

    Raises:
        InputError: when there is none, or it cannot be read.
    """
    path = Path(path)
    try:
        return FrameFolder(path) if path.is_dir() else VideoFile(path)
    except OSError as error:  # no right to, a name that is too long, a disk that fails
        raise InputError(str(path), "a video that can be read", reason(error)) from error


class Video(ABC):
    """A video whose frames can be had by number."""

    path: Path
    length: int
    """How many frames there are."""

    @property
    @abstractmethod
    def times(self) -> NDArray[np.float64] | None:
        """When each frame is shown, in seconds from the first ``[length]``; None if not known."""

    def read(self, numbers: Iterable[int]) -> Tensor:
        """Return frames by number, in the order asked for; a number may stand more than once.

        Args:
            numbers: frame numbers from 0.

        Returns:
            ``uint8 [K, 3, H, W]``, red, green and blue, turned upright.

        Raises:
            InputError: for no number or one outside of the video, and when a frame cannot be
                decoded or has another size than the others, with the file and the frame named.
        """
        wanted = [integer("numbers", number, 0) for number in numbers]
        if not wanted or max(wanted) >= self.length:
            expected = f"frame numbers from 0 to {self.length - 1} of {self.path}"
            raise InputError("numbers", expected, wanted)
        order = sorted(set(wanted))
        stack: Pixels | None = None
        for row, (number, frame) in enumerate(zip(order, self._frames(order), strict=True)):
            if stack is None:
                stack = np.empty((len(order), *frame.shape), dtype=np.uint8)
            if frame.shape != stack.shape[1:]:
                expected = f"frames of {stack.shape[1]} × {stack.shape[2]} pixels"
                came = f"{frame.shape[0]} × {frame.shape[1]} in frame {number}"
                raise InputError(str(self.path), expected, came)
            stack[row] = frame
        assert stack is not None
        places = torch.tensor([order.index(number) for number in wanted])
        return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous()[places]

    def frames(self) -> Iterator[Tensor]:
        """Return all frames in the order of display, of which one at a time is in memory.

        Yields:
            ``uint8 [3, H, W]``.

        Raises:
            InputError: as of :meth:`read`, and when there are fewer or more than :attr:`length`.
        """
        size: tuple[int, ...] | None = None
        for number, pixels in enumerate(self._all()):
            size = pixels.shape if size is None else size
            if pixels.shape != size:
                came = f"{pixels.shape[0]} × {pixels.shape[1]} in frame {number}"
                raise InputError(str(self.path), f"frames of {size[0]} × {size[1]} pixels", came)
            yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    @abstractmethod
    def _frames(self, order: Sequence[int]) -> Iterator[Pixels]:
        """Frames ``[H, W, 3]`` of rising numbers."""

    def _all(self) -> Iterator[Pixels]:
        """All frames ``[H, W, 3]``."""
        return self._frames(range(self.length))


class FrameFolder(Video):
    """A folder with one image a frame, in the order of their names.

    Numbers in names count as numbers: ``2.jpg`` stands before ``10.jpg``, and ``00002.jpg``
    before ``00010.jpg``. Other files are left alone.

    Args:
        path: the folder.

    Raises:
        InputError: when there is no such folder, or no image in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise InputError("path", "a folder of images", f"{self.path}, which is none")
        found = [file for file in self.path.iterdir() if file.suffix.lower() in IMAGES]
        self.files = sorted((file for file in found if file.name[0] != "."), key=_natural)
        self.length = len(self.files)
        if not self.files:
            raise InputError("path", f"a folder of {', '.join(sorted(IMAGES))}", self.path)

    @property
    def times(self) -> None:
        """Not known: images have no time."""
        return None

    def _frames(self, order: Sequence[int]) -> Iterator[Pixels]:
        for number in order:
            yield _image(self.files[number])


def _natural(file: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key of a name: numbers in it by value, text between them as text; 01 before 1."""
    parts = [part for part in re.split(r"(\d+)", file.name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], file.name


def _image(file: Path) -> Pixels:
    from PIL import Image, ImageOps

    try:
        if not file.is_file():  # opening a pipe would wait
            raise InputError(str(file), "an image", "no plain file" if file.exists() else "none")
        with Image.open(file) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise InputError(str(file), f"at most {MOST_PIXELS} pixels", f"{height} × {width}")
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):  # of 16 bits, which Pillow's conversion cuts off
                grey = (np.asarray(turned, dtype=np.float64) / 257).round().clip(0, 255)
                return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(turned.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their parsers do
        raise InputError(str(file), "an image", _reason(error)) from error


class VideoFile(Video):
    """A file with a video stream, in any container and codec that FFmpeg reads.

    Args:
        path: the file. Of several video streams the first is read.
        threads: of the decoder; one fits beside loaders with several workers.

    Raises:
        InputError: when it is no file, or none with a video; when frames are asked for, also where
            the file was replaced or changed meanwhile.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = integer("threads", threads)
        if not self.path.is_file():
            raise InputError("path", "a video file", f"{self.path}, where there is none")
        self._file = identity(self.path)
        self._index = indexed(self._file, self._demuxed)
        self._stamps, self._starts = self._index.stamps, self._index.starts
        self.length = self._index.length

    def _demuxed(self) -> FrameIndex:
        """Go through the packets of the file, without decoding any where each has its time."""
        stamps: list[int | None] = []
        starts: list[tuple[int, int]] = []
        with self._opened() as (container, stream):
            reorders = stream.codec_context.has_b_frames
            base = float(stream.time_base or 0)
            for packet in container.demux(stream):
                if not packet.size:  # the end
                    continue
                if packet.is_keyframe and packet.pts is not None:
                    decoded = packet.pts if packet.dts is None else packet.dts
                    starts.append((packet.pts, decoded))
                if not packet.is_discard:  # cut out by an edit list
                    stamps.append(packet.pts)
                if len(stamps) > MOST_FRAMES:
                    raise InputError(str(self.path), f"at most {MOST_FRAMES} frames", "more")
        given = np.unique(np.array([one for one in stamps if one is not None], dtype=np.int64))
        keys = np.array(sorted(starts), dtype=np.int64).reshape(-1, 2)
        stamped = bool(starts) and len(given) == len(stamps)
        length = len(given)
        if not stamped:  # a frame is found by counting, and how many there are by decoding all
            length = sum(1 for _ in self._counted())
        elif reorders and len(keys) < length and stamps == given.tolist():
            # Frames may be shown in another order, and none is: so it is, or the container does not
            # tell (AVI, ASF, MXF), and FFmpeg made up stamps in the order of decoding.
            shown = [frame.pts for frame in self._counted()]
            length = len(shown)
            stamped = length == len(stamps) and set(shown) == set(stamps)
            keys = keys if shown == stamps else keys[:0]
        if not length:
            raise InputError(str(self.path), "a video with frames", "none")
        return FrameIndex(length, given if stamped else None, keys, base)

    @property
    def times(self) -> NDArray[np.float64] | None:
        """When each frame is shown, in seconds from the first; None without time stamps."""
        if self._stamps is None or not self._index.base:
            return None
        times: NDArray[np.float64] = (self._stamps - self._stamps[0]) * self._index.base
        return times

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The file and its video stream; errors of FFmpeg name the file."""
        av = open_library()
        try:
            # So named, a colon in it is no protocol.
            with av.open(f"file:{self.path}", options=dict(_files_alone())) as container:
                if identity(self.path) != self._file:
                    raise InputError(str(self.path), "the file that it was at first", "another")
                if not container.streams.video:
                    raise InputError(str(self.path), "a video stream", "none")
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    raise InputError(str(self.path), "a codec that FFmpeg knows", "another")
                stream.thread_type = "AUTO" if self.threads > 1 else "NONE"
                stream.codec_context.thread_count = self.threads
                bounded(self.path, stream.codec_context.height, stream.codec_context.width)
                yield container, stream
        except (av.error.FFmpegError, UnicodeError, EOFError) as error:
            raise InputError(str(self.path), "a video that FFmpeg reads", _reason(error)) from error

    def _frames(self, order: Sequence[int]) -> Iterator[Pixels]:
        if self._stamps is not None and len(self._starts):
            # Frames that seeking did not lead to are left to counting.
            done = 0
            for frame in self._sought(self._stamps[list(order)].tolist()):
                yield frame
                done += 1
            order = order[done:]
        if not order:
            return
        wanted, found, colours = set(order), 0, reformatter(self.threads)
        for number, frame in enumerate(self._counted()):
            if number in wanted:
                found += 1
                yield self._pixels(frame, colours)
                if found == len(order):
                    return
        came = f"an end before frame {order[found]}"
        raise InputError(str(self.path), f"{self.length} frames that decode", came)

    def _all(self) -> Iterator[Pixels]:
        """All frames, without a seek."""
        number, colours = 0, reformatter(self.threads)
        for number, frame in enumerate(self._counted(), 1):
            if number > self.length:
                break
            yield self._pixels(frame, colours)
        if number != self.length:
            came = "more" if number > self.length else f"an end before frame {number}"
            raise InputError(str(self.path), f"{self.length} frames that decode", came)

    def _sought(self, stamps: Sequence[int]) -> Iterator[Pixels]:
        """Frames of rising time stamps, up to the first that is not where the file says."""
        with self._opened() as (container, stream):
            frames: Iterator[Any] = iter(())
            frame: Any = None
            colours = reformatter(self.threads)
            for stamp in stamps:
                start = max(0, int(np.searchsorted(self._starts[:, 0], stamp, "right")) - 1)
                if frame is None or self._starts[start][0] > frame.pts:
                    frames = self._decoded_from(container, stream, start, stamp)
                    frame = next(frames, None)
                while frame is not None and frame.pts is not None and frame.pts < stamp:
                    frame = next(frames, None)
                if frame is None or frame.pts != stamp:
                    return
                yield self._pixels(frame, colours)

    def _decoded_from(self, container: Any, stream: Any, start: int, stamp: int) -> Iterator[Any]:
        """Decoded frames, the first of them no later than a stamp."""
        # Some containers seek by the time of display, others by that of decoding.
        for place in (*self._starts[start].tolist(), int(self._starts[0][1])):
            container.seek(place, stream=stream)
            frames = container.decode(stream)
            first = next(frames, None)
            if first is not None and first.pts is not None and first.pts <= stamp:
                return chain([first], frames)
        return iter(())

    def _counted(self) -> Iterator[Any]:
        """All frames from the beginning, in the order of display."""
        with self._opened() as (container, stream):
            yield from container.decode(stream)

    def _pixels(self, frame: Any, colours: Callable[[Any], Any]) -> Pixels:
        bounded(self.path, frame.height, frame.width)
        return upright(frame, colours)


def upright(frame: Any, colours: Callable[[Any], Any]) -> Pixels:
    """The pixels ``[H, W, 3]`` of a decoded frame, turned as its file says.

    Args:
        frame: the frame.
        colours: what converts it, see :func:`reformatter`.
    """
    pixels: Pixels = colours(frame).to_ndarray()
    turns = round(frame.rotation / 90) % 4  # counterclockwise, as the file's matrix says
    return np.rot90(pixels, turns) if turns else pixels


def reformatter(threads: int, form: str = "rgb24") -> Callable[[Any], Any]:
    """What converts frames of PyAV to another form, all by the same tables.

    A frame that converts itself makes the tables anew, and since PyAV 17 starts a thread a core,
    which costs more than to decode a small one. The pixels are the same.
    """
    av = open_library()
    options = {"threads": threads} if int(av.__version__.partition(".")[0]) >= 17 else {}
    return partial(av.video.reformatter.VideoReformatter().reformat, format=form, **options)


@cache
def _files_alone() -> Mapping[str, str]:
    """Options with which FFmpeg reads files that hold their frames themselves.

    A playlist or a description of a session would lead to other files and machines, and wait there.
    """
    av = open_library()
    formats = []
    for name in sorted(av.formats_available):
        with suppress(ValueError):  # one to write alone
            av.ContainerFormat(name, "r")
            formats.append(name)
    formats = [name for name in formats if name not in _LEADING_ELSEWHERE]
    return {"protocol_whitelist": "file", "format_whitelist": ",".join(formats)}


def bounded(path: str | Path, height: int, width: int) -> None:
    """Refuse frames of more pixels than :data:`MOST_PIXELS`."""
    if height * width > MOST_PIXELS:
        raise InputError(str(path), f"at most {MOST_PIXELS} pixels", f"{height} × {width}")


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return str(error).partition("\n")[0] or type(error).__name__


def open_library() -> Any:
    """PyAV, or how to install it."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("reading videos needs PyAV: pip install av") from error
    return av


def _pillow() -> Any:
    try:
        import PIL
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("reading images needs Pillow: pip install pillow") from error
    return PIL
