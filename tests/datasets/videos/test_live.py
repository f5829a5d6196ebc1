from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from stgraph.checks import InputError
from stgraph.datasets.videos import FrameFolder, VideoFile
from stgraph.datasets.videos.live import LiveVideo, Pace, live_video

pytest.importorskip("av")

TEST = "testsrc=size=64x48:rate=25:duration=2,realtime"


def test_who_keeps_up_sees_every_frame(video_file, tmp_path: Path) -> None:
    """Through a pipe that is written to no faster than the frames are taken."""
    path = video_file(tmp_path / "a.mkv", frames=12, codec="ffv1")
    expected = list(VideoFile(path).frames())
    with LiveVideo(str(path)) as live:
        live.dropped = 0
        numbers = [frame.number for frame in live]
    assert numbers[-1] == 11  # the last one is never dropped
    assert len(numbers) + live.dropped == 12
    with LiveVideo(str(path)) as live:
        for frame in live:
            assert torch.equal(frame.pixels, expected[frame.number])
            assert frame.seconds == pytest.approx(frame.number / 25, abs=1e-3)


def test_options_reach_the_format() -> None:
    source = "color=red:size=32x24:rate=25:duration=0.2"
    with LiveVideo(
        source, "lavfi", options={"graph": "color=blue:size=48x16:duration=0.1"}
    ) as live:
        frame = next(iter(live))
    assert frame.pixels.shape == (3, 16, 48)


def test_who_is_slower_than_the_camera_gets_the_newest_frame() -> None:
    with LiveVideo(TEST, "lavfi") as live:
        seen, begun = [], None
        for frame in live:
            begun = time.monotonic() - frame.seconds if begun is None else begun
            late = time.monotonic() - begun - frame.seconds
            seen.append((frame.number, late))
            time.sleep(0.2)
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 49
    assert len(numbers) < 20
    assert live.dropped == 50 - len(numbers)  # each frame was seen or counted
    assert max(late for _, late in seen) < 0.3  # of 2 seconds; it would be 8 at the end


@pytest.mark.slow
def test_a_rate_leaves_out_frames_and_drops_none() -> None:
    with LiveVideo(TEST, "lavfi", rate=5) as live:
        numbers = [frame.number for frame in live]
    assert numbers == list(range(0, 50, 5))
    assert live.dropped == 0


def test_seconds_count_from_the_first_frame() -> None:
    """Though the clock of a camera has run for long when its first frame comes."""
    late = "testsrc=size=64x48:rate=25:duration=0.4,setpts=PTS+1000/TB"
    with LiveVideo(late, "lavfi") as live:
        seen = {frame.number: frame.seconds for frame in live}
    assert seen[9] == pytest.approx(9 / 25, abs=1e-3)  # the last one is never dropped
    assert all(seconds == pytest.approx(n / 25, abs=1e-3) for n, seconds in seen.items())


def test_a_pipe_is_read_while_it_is_written(video_file, tmp_path: Path) -> None:
    """Frames are there before the stream has ended."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    go_on = threading.Event()

    def write() -> None:  # not by PyAV, which holds up all threads until the pipe is read
        with pipe.open("wb") as out:
            out.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n")
            for number in range(40):
                if number == 30:
                    out.flush()
                    go_on.wait(30)
                out.write(b"FRAME\n" + bytes([number]) * (64 * 48 * 3 // 2))

    writer = threading.Thread(target=write)
    writer.start()
    with LiveVideo(str(pipe)) as live:
        frames = iter(live)
        assert next(frames).pixels.shape == (3, 48, 64)
        go_on.set()
        assert [frame.number for frame in frames][-1] == 39
    writer.join()


def test_leaving_early_ends_the_thread() -> None:
    with LiveVideo("testsrc=size=64x48:rate=25,realtime", "lavfi") as live:
        next(iter(live))
    assert not [one for one in threading.enumerate() if one.name == "live video"]


@pytest.mark.parametrize(
    ("word", "source", "form"),
    [
        ("camera:/dev/video2", "/dev/video2", "v4l2"),
        ("camera:lavfi:testsrc=size=64x48:rate=5", "testsrc=size=64x48:rate=5", "lavfi"),
        ("camera:dshow:video=My Camera", "video=My Camera", "dshow"),
        ("camera", "/dev/video0", "v4l2"),
        ("rtsp://host:554/a", "rtsp://host:554/a", None),
        ("-", "pipe:0", None),
    ],
)
def test_words_name_live_videos(word: str, source: str, form: str | None, monkeypatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    live = live_video(word)
    assert (live.source, live.format) == (source, form)


@pytest.mark.parametrize("word", ["clip.mp4", "camera.mp4", "a/b", "cameras", "file://a.mp4"])
def test_other_words_name_files(word: str) -> None:
    assert live_video(word) is None


def test_what_cannot_be_opened_is_named(tmp_path: Path, monkeypatch) -> None:
    for source, form in (("/dev/no_camera", "v4l2"), ("x", "no_format"), ("nowhere.mp4", None)):
        with pytest.raises(InputError, match=source), LiveVideo(source, form):
            pass
    with pytest.raises(InputError, match="a video stream"), LiveVideo("sine=1000", "lavfi"):
        pass
    with pytest.raises(InputError, match="within its with block"):
        next(iter(LiveVideo("x")))
    with pytest.raises(InputError, match="rate"):
        LiveVideo("x", rate=0)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(InputError, match="camera:FORMAT:SOURCE"):
        live_video("camera")


def test_a_pace_takes_the_first_frame_of_each_interval() -> None:
    times = [number / 30 for number in range(90)]
    pace = Pace(10)
    assert [n for n, seconds in enumerate(times) if pace.takes(seconds)] == list(range(0, 90, 3))
    pace = Pace(60)  # more than there are: each once
    assert all(pace.takes(seconds) for seconds in times)
    assert all(Pace().takes(seconds) for seconds in (0, 0, 0))


def test_frames_of_a_file_are_those_of_random_access(video_file, frame_folder, tmp_path) -> None:
    for video in (
        VideoFile(video_file(tmp_path / "a.mp4", frames=30)),
        FrameFolder(frame_folder(tmp_path / "b", frames=7)),
    ):
        frames = list(video.frames())
        assert len(frames) == video.length
        assert torch.equal(torch.stack(frames), video.read(range(video.length)))


def test_frames_have_the_times_of_the_stream(tmp_path: Path) -> None:
    """Of one whose rate varies; there counting tells others."""
    av = pytest.importorskip("av")
    times = [100, 140, 600, 660, 900]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = 32, 24
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_of in times:
            frame = av.VideoFrame(32, 24, "yuv420p")
            frame.pts, frame.time_base = time_of, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with LiveVideo(str(tmp_path / "a.mkv")) as live:
        seen = list(live)
    assert seen[-1].number == 4
    for one in seen:
        expected = (times[one.number] - times[0]) / 1000
        assert one.seconds == pytest.approx(expected, abs=1e-3)
