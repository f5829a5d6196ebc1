from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.datasets.videos.inspection import FileFacts, read_each

av = pytest.importorskip("av")
pytest.importorskip("PIL.Image")

# In place of PyAV, in the processes that read: what a decoder may do on a bad day.
FAKE = """
import os, re, signal, time
__version__ = "0"
formats_available = ()
library_versions = {"libavcodec": (1,), "libswscale": (1,)}

class error:
    class FFmpegError(Exception):
        pass

def open(path, options):
    path = path.removeprefix("file:")
    open_file = __builtins__["open"] if isinstance(__builtins__, dict) else __builtins__.open
    open_file(f"{path}.pid", "w").write(str(os.getpid()))
    if "sleep" in path:
        time.sleep(600)
    if "alarm" in path:
        os.kill(os.getpid(), signal.SIGALRM)  # as the system does where nobody else has
    if "spin" in path:
        re.match(r"(a+)+$", "a" * 60 + "b")  # lets no other thread run
    if "crash" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "exit" in path:
        os._exit(3)
    if "memory" in path:
        bytearray(1 << 40)
    raise error.FFmpegError("it is a fake")
"""


@pytest.fixture
def videos(tmp_path: Path, video_file) -> Path:
    for number in range(3):
        video_file(tmp_path / f"{number}.mp4", frames=10 + number)
    return tmp_path


def read(paths: list[Path], **options: object) -> list[FileFacts]:
    told = dict(read_each(paths, **options))
    return [told[number] for number in range(len(paths))]


def children() -> set[int]:
    """Processes of this one's that read videos."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            words = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and "inspection" in words:
            found.add(int(status.parent.name))
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended, within some seconds."""
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_every_file_is_read(videos: Path, frame_folder) -> None:
    images = frame_folder(videos / "images", frames=4)
    (videos / "bad.mp4").write_bytes(b"no video")
    (videos / "empty.mp4").write_bytes(b"")
    whole = (videos / "2.mp4").read_bytes()
    (videos / "short.mp4").write_bytes(whole[: len(whole) // 2])
    names = ["0.mp4", "1.mp4", "2.mp4", "images", "bad.mp4", "empty.mp4", "none.mp4", "short.mp4"]
    facts = read([videos / name for name in names], processes=2)
    assert [one.path for one in facts] == [str(videos / name) for name in names]
    assert [one.frames for one in facts[:4]] == [10, 11, 12, 4]
    assert all((one.height, one.width) == (48, 64) and not one.reason for one in facts[:4])
    assert [one.rate for one in facts[:4]] == [*[pytest.approx(25)] * 3, None]
    assert [one.seconds for one in facts[:3]] == pytest.approx([0.40, 0.44, 0.48])
    assert [one.bytes for one in facts[:3]] == [(videos / f"{n}.mp4").stat().st_size for n in "012"]
    assert facts[3].bytes == sum(file.stat().st_size for file in images.iterdir())
    assert all(one.path in one.reason for one in facts[4:])
    assert "FFmpeg reads" in facts[4].reason
    assert "none.mp4, where there is none" in facts[6].reason
    assert children() == set()


@pytest.mark.slow
def test_frames_that_do_not_decode_are_found_by_decoding(tmp_path: Path, video_file) -> None:
    """The container is whole, so its header tells nothing."""
    path = video_file(tmp_path / "a.avi", frames=40, codec="mpeg4")
    content = bytearray(path.read_bytes())
    place = content.rfind(b"00dc", 0, len(content) * 3 // 4) + 8  # the data of a frame
    content[place : place + 100] = bytes(100)
    path.write_bytes(content)
    first, all_ = read([path], full=False)[0], read([path], full=True)[0]
    assert first.reason == ""
    assert "a.avi" in all_.reason


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "av.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / "fake")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarms of the system")
@pytest.mark.parametrize("kind", ["sleep", "alarm"])
def test_no_progress_is_told_whoever_ends_the_process(fake: Path, kind: str) -> None:
    (fake / kind).write_bytes(b"x")
    (facts,) = read([fake / kind], limit=1)
    assert facts.reason == "the decoder made no progress in 1 s"


@pytest.mark.slow
def test_a_decoder_that_hangs_or_crashes_costs_its_file_only(fake: Path) -> None:
    names = ["sleep", "plain", "crash", "exit", "memory", "spin", "plain2"]
    for name in names:
        (fake / name).write_bytes(b"x")
    facts = dict(zip(names, read([fake / n for n in names], processes=2, limit=2), strict=True))
    assert facts["sleep"].reason == facts["spin"].reason == "the decoder made no progress in 2 s"
    assert facts["crash"].reason == "the decoder crashed with SIGSEGV"
    assert facts["exit"].reason == "the decoder ended with status 3"
    assert facts["memory"].reason == "MemoryError: MemoryError"
    assert facts["plain"].reason.endswith("got it is a fake")
    assert facts["plain2"].reason.endswith("got it is a fake")
    assert children() == set()
    assert all(gone(int((fake / f"{name}.pid").read_text())) for name in names)


@pytest.mark.slow
def test_who_asks_for_no_more_leaves_no_process(videos: Path) -> None:
    facts = read_each([videos / "0.mp4"] * 50, processes=2)
    next(facts)
    assert children()
    facts.close()
    assert children() == set()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("kind", ["sleep", "spin"])
def test_processes_end_with_the_one_that_is_killed(fake: Path, kind: str) -> None:
    """Even while a decoder lets nothing else run: then by the system's alarm."""
    (fake / kind).write_bytes(b"x")
    source = textwrap.dedent(
        f"""
        import sys
        from stgraph.datasets.videos import inspection
        sys.modules.pop("av", None)
        sys.path.insert(0, {str(fake / "fake")!r})
        list(inspection.read_each([{str(fake / kind)!r}], limit=1.5, processes=1))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", source])
    told = fake / f"{kind}.pid"
    for _ in range(600):
        if told.exists() and told.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(int(told.read_text()))


def test_bad_numbers_are_named(videos: Path) -> None:
    for options, name in (({"processes": 0}, "processes"), ({"limit": 0}, "limit")):
        with pytest.raises(InputError, match=name):
            list(read_each([videos / "0.mp4"], **options))
    assert list(read_each([])) == []
