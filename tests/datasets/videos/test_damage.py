"""Whatever becomes of a video, it is read or an :class:`InputError` names it; nothing hangs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from damage import damaged, little_memory

from stgraph.checks import InputError
from stgraph.datasets.videos import open_video

av = pytest.importorskip("av")
image = pytest.importorskip("PIL.Image")
LONGEST = 20  # seconds for one small file, on a machine with other work

# Container, codec, options.
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": ("mp4", "libx264", {"g": "12", "bf": "3"}),
    "mkv": ("mkv", "libx264", {"g": "250", "bf": "2"}),
    "webm": ("webm", "libvpx-vp9", {"g": "15", "deadline": "realtime"}),
    "vp8": ("webm", "libvpx", {"g": "15"}),
    "gif": ("gif", "gif", {}),
    "avi": ("avi", "mpeg4", {"g": "9", "bf": "2"}),
    "ts": ("ts", "mpeg2video", {"g": "9", "bf": "2"}),
    "h264": ("h264", "libx264", {"g": "9"}),
}
IMAGES = ("jpg", "png", "bmp", "webp")
CASES = 100  # of each kind


@pytest.fixture(autouse=True, scope="module")
def _little_memory() -> Iterator[None]:
    yield from little_memory()


def written(path: Path, kind: str) -> bytes:
    """A small video of 24 frames."""
    _, codec, options = KINDS[kind]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number in range(24):
            pixels = np.full((48, 64, 3), 9 * number % 256, np.uint8)
            pixels[number : number + 8] = 255 - pixels[0, 0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def told(path: Path, chance: random.Random) -> str | None:
    """What is said of a video, if it is not read."""
    begun = time.perf_counter()
    try:
        video = open_video(path)
        numbers = [1, *(chance.randrange(video.length) for _ in range(5))]
        seen = video.read(numbers)
        assert seen.shape[:2] == (6, 3)
        return None
    except InputError as error:
        message = str(error)
        assert str(path) in message
        assert len(message) < 2000
        return message
    finally:
        assert time.perf_counter() - begun < LONGEST


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_video_is_told(kind: str, tmp_path: Path) -> None:
    suffix, chance = KINDS[kind][0], random.Random(kind)
    path = tmp_path / f"video.{suffix}"
    whole = written(path, kind)
    assert told(path, chance) is None
    refused = 0
    for _ in range(CASES):
        path.write_bytes(damaged(whole, chance))
        refused += told(path, chance) is not None
    assert refused  # decoders conceal much


@pytest.mark.parametrize("suffix", IMAGES)
def test_a_damaged_image_of_a_folder_is_told(suffix: str, tmp_path: Path) -> None:
    chance = random.Random(suffix)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for number in range(3):
        image.fromarray(pixels + number).save(tmp_path / f"{number:05}.{suffix}")
    path = tmp_path / f"00001.{suffix}"  # told reads it, and others
    whole, refused = path.read_bytes(), 0
    for _ in range(CASES):
        path.write_bytes(damaged(whole, chance))
        message = told(tmp_path, chance)
        refused += message is not None
    assert refused


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://10.255.255.1/a.ts\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile 'http://10.255.255.1/a.mp4'\n"),
        ("call.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n"),
        ("text.mp4", "no video at all"),
        ("empty.webm", ""),
    ],
)
def test_text_leads_to_no_other_machine(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    assert told(path, random.Random(0))


@pytest.mark.parametrize("name", ["with:colon.mp4", "http:x.mp4", "%d.mp4", "-x.mp4", "ünï?&.mp4"])
def test_names_are_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(written(tmp_path / "plain.mp4", "mp4"))
    assert told(tmp_path / name, random.Random(0)) is None
