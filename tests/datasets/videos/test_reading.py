from __future__ import annotations

import os
import random
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import FrameFolder, VideoFile, decoder, open_video, reading
from stgraph.datasets.videos.finding import find_videos

av = pytest.importorskip("av")
image = pytest.importorskip("PIL.Image")

# Container, codec, options, frames, width and height.
KINDS: dict[str, tuple[str, str, dict[str, str], int, tuple[int, int]]] = {
    "long group": ("mp4", "libx264", {"g": "250", "bf": "3"}, 70, (64, 48)),
    "b frames": ("mkv", "libx264", {"g": "12", "bf": "3"}, 40, (64, 48)),
    "open groups": (
        "mp4",
        "libx264",
        {"g": "10", "bf": "3", "x264-params": "open-gop=1"},
        40,
        (64, 48),
    ),
    "odd size": ("mp4", "libx264", {"g": "10"}, 12, (65, 47)),
    "one frame": ("mp4", "libx264", {}, 1, (64, 48)),
    "vp9": (
        "webm",
        "libvpx-vp9",
        {"g": "15", "lag-in-frames": "16", "deadline": "realtime"},
        40,
        (64, 48),
    ),
    "vp8": (
        "webm",
        "libvpx",
        {"g": "15", "lag-in-frames": "16", "auto-alt-ref": "1"},
        40,
        (64, 48),
    ),
    "gif": ("gif", "gif", {}, 12, (32, 24)),
    "avi": ("avi", "mpeg4", {"g": "9", "bf": "2"}, 30, (64, 48)),
    "stream": ("ts", "mpeg2video", {"g": "9", "bf": "2"}, 30, (64, 48)),
    "long webm": ("webm", "libvpx-vp9", {"g": "250", "deadline": "realtime"}, 60, (64, 48)),
    "odd webm": ("webm", "libvpx-vp9", {"g": "15", "deadline": "realtime"}, 12, (65, 47)),
    "odd gif": ("gif", "gif", {}, 7, (33, 25)),
    "one frame of webm": ("webm", "libvpx-vp9", {"deadline": "realtime"}, 1, (64, 48)),
    "one frame of gif": ("gif", "gif", {}, 1, (32, 24)),
    "one frame of an odd size": ("mp4", "libx264", {}, 1, (63, 47)),
    "no stamps": ("h264", "libx264", {"g": "9", "bf": "2"}, 20, (64, 48)),
}


def write(
    path: Path, codec: str, options: dict[str, str], frames: int, size: tuple[int, int], **more: Any
) -> Path:
    """A file of moving stripes; ``stamps`` are times of the frames in milliseconds."""
    stamps = more.get("stamps")
    with av.open(str(path), "w", options=more.get("container", {})) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        odd = size[0] % 2 or size[1] % 2
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv444p" if odd else "yuv420p"
        for number in range(frames):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[..., 0] = 5 * number % 256
            pixels[number % size[1]] = 255
            pixels[:, 3 * number % size[0], 2] = 200
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def everything(path: Path) -> np.ndarray:
    """All frames in the order of display, by a plain decode."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def check(path: Path, expected: np.ndarray, tries: int = 12) -> VideoFile:
    video = VideoFile(path)
    assert video.length == len(expected)
    chance = random.Random(0)
    for _ in range(tries):
        numbers = [chance.randrange(video.length) for _ in range(chance.randint(1, 6))]
        seen = video.read(numbers)
        assert seen.dtype == torch.uint8
        np.testing.assert_array_equal(seen.permute(0, 2, 3, 1).numpy(), expected[numbers])
    return video


@pytest.mark.parametrize("kind", KINDS)
def test_any_frame_is_that_of_a_full_decode(kind: str, tmp_path: Path) -> None:
    container, codec, options, frames, size = KINDS[kind]
    path = write(tmp_path / f"video.{container}", codec, options, frames, size)
    expected = everything(path)
    assert len(expected) == frames
    video = check(path, expected)
    if kind == "no stamps":
        assert video.times is None
    else:
        assert video.times is not None
        np.testing.assert_allclose(np.diff(video.times), 0.1 if kind == "gif" else 0.04, atol=0.061)
        # No frame was left to decoding from the beginning.
        assert video._stamps is not None
        assert len(list(video._sought(video._stamps))) == frames


def test_times_are_those_since_the_first_frame(tmp_path: Path) -> None:
    stamps = [2000 + 40 * number for number in range(10)]
    path = write(tmp_path / "late.mkv", "libx264", {}, 10, (64, 48), stamps=stamps)
    video = check(path, everything(path))
    assert video._stamps is not None
    assert video._stamps[0] > 0
    np.testing.assert_allclose(video.times, 0.04 * np.arange(10), atol=0.002)


def test_a_rate_may_vary_and_stamps_may_stand_twice(tmp_path: Path) -> None:
    stamps = [number * number * 7 + 40 * number for number in range(30)]
    options = {"g": "8", "bf": "2"}
    path = write(tmp_path / "varies.mkv", "libx264", options, 30, (64, 48), stamps=stamps)
    video = check(path, everything(path))
    assert video.times is not None
    assert len(set(np.diff(video.times).round(2))) > 8
    twice = [number * number * 7 for number in range(30)]  # 0 and 7 ms fall on one tick
    path = write(tmp_path / "twice.mkv", "libx264", options, 30, (64, 48), stamps=twice)
    check(path, everything(path))


@pytest.mark.parametrize("ending", ["avi", "asf", "mxf"])
def test_stamps_that_are_those_of_decoding_do_not_mislead(ending: str, tmp_path: Path) -> None:
    options = {"g": "10", "bf": "3", "x264-params": "b-adapt=0"}
    path = write(tmp_path / f"reordered.{ending}", "libx264", options, 40, (64, 48))
    video = check(path, everything(path), tries=20)
    assert video.times is not None
    np.testing.assert_allclose(np.diff(video.times), 0.04, atol=1e-6)


@pytest.mark.parametrize("cut", [5, 12, 17])
def test_a_video_whose_beginning_is_cut_off_is_sought(cut: int, tmp_path: Path) -> None:
    """As telephones trim: an edit list leaves out frames that others are decoded from."""
    stamps = [40 * (number - cut) for number in range(40)]
    options = {"g": "250", "bf": "3"}
    path = write(tmp_path / "cut.mp4", "libx264", options, 40, (64, 48), stamps=stamps)
    video = check(path, everything(path))
    assert video.length == 40 - cut
    assert video.times is not None
    np.testing.assert_allclose(video.times, 0.04 * np.arange(40 - cut), atol=1e-3)
    assert len(list(video._sought(video._stamps))) == 40 - cut


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotated_videos_stand_upright(turns: int, tmp_path: Path) -> None:
    path = write(tmp_path / "turned.mp4", "libx264", {"g": "5"}, 12, (64, 48))
    upright = everything(path)
    one = 1 << 16
    matrix = {1: (0, -one, one, 0), 2: (-one, 0, 0, -one), 3: (0, one, -one, 0)}[turns]
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of fields
    a, b, c, d = matrix
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation % 360 == 90 * turns
    check(path, np.rot90(upright, turns, axes=(1, 2)))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("varies.mp4", "libx264", {"g": "250", "bf": "3"}),
        ("varies.webm", "libvpx-vp9", {"g": "8", "deadline": "realtime"}),
    ],
)
def test_a_rate_may_vary_in_any_container(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    stamps = [40 * (number + number * number // 7) for number in range(40)]
    video = check(
        write(tmp_path / name, codec, options, 40, (64, 48), stamps=stamps),
        everything(tmp_path / name),
    )
    assert video.times is not None
    np.testing.assert_allclose(video.times * 1000, np.array(stamps) - stamps[0], atol=1.1)


@pytest.mark.parametrize("count", [1, 13])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_folder_of_frames_is_read_bit_by_bit(count: int, ending: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(1, count + 1):
        pixels = random.integers(0, 256, (47, 65, 3), dtype=np.uint8)
        image.fromarray(pixels).save(tmp_path / f"{number:05d}.{ending}")
    expected = np.stack([np.asarray(image.open(f)) for f in sorted(tmp_path.iterdir())])
    video = FrameFolder(tmp_path)
    chance = random.integers(0, count, (5, 4)).tolist()
    for numbers in ([0], list(range(count))[::-1], *chance):
        seen = video.read(numbers).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(seen, expected[numbers])


def test_only_what_is_near_a_wanted_frame_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "video.mp4", "libx264", {"g": "10", "keyint_min": "10"}, 200, (64, 48))
    video = VideoFile(path)
    monkeypatch.setattr(video, "_counted", lambda: pytest.fail("decoded from the beginning"))
    decoded = []
    inner = video._decoded_from

    def counted(*arguments: Any) -> Any:
        for frame in inner(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video, "_decoded_from", counted)
    video.read([15, 105, 195])
    assert len(decoded) <= 30


def test_frames_of_a_read_share_their_colour_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "video.mp4", "libx264", {"g": "10", "keyint_min": "10"}, 40, (64, 48))
    made, make = [], av.video.reformatter.VideoReformatter
    monkeypatch.setattr(av.video.reformatter, "VideoReformatter", lambda: made.append(1) or make())
    frames = VideoFile(path).read(range(1, 40, 2))
    assert len(made) == 1
    np.testing.assert_array_equal(frames.permute(0, 2, 3, 1).numpy(), everything(path)[1::2])


@pytest.mark.parametrize("name", ["{:05d}.jpg", "{:06d}.jpg", "img_{}.png", "frame {}.bmp"])
def test_a_folder_of_images_is_a_video(name: str, tmp_path: Path) -> None:
    for number in range(1, 13):
        pixels = np.full((6, 8, 3), 20 * number, np.uint8)
        image.fromarray(pixels).save(tmp_path / name.format(number))
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / "._00001.jpg").write_bytes(b"what archives of other systems leave behind")
    video = open_video(tmp_path)
    assert isinstance(video, FrameFolder)
    assert (video.length, video.times) == (12, None)
    assert video.read([9, 0, 9]).float().mean(dim=(1, 2, 3)).round().tolist() == [200, 20, 200]


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write(folder / "video.mp4", "libx264", {"g": "5"}, 20, (64, 48))
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


@pytest.mark.parametrize(
    "make",
    [
        damaged(lambda content: b""),
        damaged(lambda content: b"text, and no video at all" * 50),
        damaged(lambda content: content[: len(content) // 2]),
        damaged(lambda content: content.replace(b"avc1", b"zzzz")),
        lambda folder: folder / "nothing.mp4",
        lambda folder: folder,
    ],
)
def test_what_cannot_be_read_is_named(make, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=r"^path|" + re.escape(str(path))):
        open_video(path if path != tmp_path else tmp_path / "more").read([0])


def test_random_damage_gives_frames_or_a_typed_error(tmp_path: Path) -> None:
    path = write(
        tmp_path / "video.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime"}, 20, (64, 48)
    )
    whole, chance = path.read_bytes(), random.Random(0)
    frames, messages = 0, []
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.randint(1, len(content))])
        try:
            frames += len(open_video(path).read([0]))
        except InputError as error:
            messages.append(str(error))
    assert frames > 0
    assert messages
    assert all(str(path) in message for message in messages)


def test_a_video_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "video.mp4", "libx264", {}, 3, (64, 48))
    with pytest.raises(
        InputError, match=re.escape(f"numbers: expected frame numbers from 0 to 2 of {path}")
    ):
        VideoFile(path).read([3])
    with pytest.raises(InputError, match="numbers"):
        VideoFile(path).read([])
    for size, number in (((8, 6), 1), ((6, 8), 2)):
        image.new("RGB", size).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match=r"frames of 6 × 8 pixels, got 8 × 6 in frame 1"):
        FrameFolder(tmp_path).read([0, 1])
    (tmp_path / "one").mkdir()
    image.new("RGB", (64, 48)).save(tmp_path / "one" / "1.png")
    monkeypatch.setattr(reading, "MOST_FRAMES", 3)
    monkeypatch.setattr(reading, "MOST_PIXELS", 48 * 64)
    for video in (VideoFile(path), FrameFolder(tmp_path / "one")):
        assert video.read([0]).shape == (1, 3, 48, 64)
    monkeypatch.setattr(reading, "MOST_PIXELS", 48 * 64 - 1)
    for look in (lambda: VideoFile(path), lambda: FrameFolder(tmp_path / "one").read([0])):
        with pytest.raises(InputError, match=r"at most 3071 pixels, got 48 × 64"):
            look()
    monkeypatch.setattr(reading, "MOST_FRAMES", 2)
    monkeypatch.setattr(reading, "MOST_PIXELS", 48 * 64)
    os.utime(path, (0, 0))  # another file, which is gone through anew
    with pytest.raises(InputError, match="at most 2 frames, got more"):
        VideoFile(path)
    assert set(decoder()) == {"PyAV", "Pillow", "libavcodec", "libswscale"}


def test_frames_of_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 40 * 60).round().astype(np.uint16).reshape(40, 60)
    image.fromarray(deep).save(tmp_path / "1.png")
    shown = FrameFolder(tmp_path).read([0])[0].numpy()
    assert (shown == np.round(deep / 257)).all()


def test_what_is_no_plain_file_is_no_frame(tmp_path: Path) -> None:
    """A pipe is never opened: it would wait."""
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "2.png").mkdir()
    (tmp_path / "3.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "4.png").symlink_to(tmp_path / "4.png")
    folder = FrameFolder(tmp_path)
    for number in range(4):
        with pytest.raises(InputError, match=rf"{number + 1}\.png: expected an image, got no"):
            folder.read([number])


def test_paths_that_the_system_refuses_are_bad_input(tmp_path: Path) -> None:
    for name, told in (("n" * 300, "File name too long"), ("a\0b", "none"), ("a\udcff", "none")):
        with pytest.raises(InputError, match=told):
            open_video(tmp_path / name)
        with pytest.raises(InputError, match=told):
            find_videos(tmp_path / name)


FORMS = {
    "ten bits": ("libx264", "yuv420p10le", {}, "mp4"),
    "sixteen bits, grey": ("ffv1", "gray16le", {}, "mkv"),
    "grey": ("ffv1", "gray", {}, "avi"),
    "sixteen bits, colours": ("ffv1", "gbrp16le", {}, "mkv"),
    "alpha": ("ffv1", "bgra", {}, "mkv"),
    "palette": ("gif", "rgb8", {}, "gif"),
    "interlaced": ("mpeg2video", "yuv420p", {"flags": "+ilme+ildct"}, "mpg"),
    "full range": ("mjpeg", "yuvj444p", {}, "avi"),
}


@pytest.mark.parametrize("name", FORMS)
def test_pixels_of_any_form_are_eight_bits_of_three_colours(name: str, tmp_path: Path) -> None:
    """And each frame, sought from the last to the first, is that of a full decode."""
    codec, form, options, ending = FORMS[name]
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 32, 24, form
        for number in range(6):
            pixels = np.full((24, 32, 3), 20 + 30 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    video = open_video(path)
    whole = torch.stack(list(video.frames()))
    assert whole.shape == (6, 3, 24, 32)
    levels = whole.float().mean((1, 2, 3))
    torch.testing.assert_close(levels, 20.0 + 30 * torch.arange(6), rtol=0, atol=16)
    for number in reversed(range(6)):
        assert torch.equal(video.read([number])[0], whole[number])


def test_of_several_video_streams_the_first_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=25) for _ in range(2)]
        for place, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 32 + 16 * place, 24, "yuv420p"
        for number in range(5):
            for stream in streams:
                pixels = np.full((24, stream.width, 3), 40 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    video = open_video(path)
    assert video.length == 5
    assert video.read([4, 0]).shape == (2, 3, 24, 32)


def test_a_file_of_sound_alone_or_of_nothing_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"sound\.mp4: expected a video stream, got none"):
        open_video(tmp_path / "sound.mp4")
    (tmp_path / "nothing.mp4").touch()
    with pytest.raises(InputError, match=r"nothing\.mp4: expected a video that FFmpeg reads"):
        open_video(tmp_path / "nothing.mp4")
