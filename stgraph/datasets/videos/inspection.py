"""Reading every video of many once, in processes of their own, to find those that are bad.

A decoder may hang, crash or take all memory on a file. So each file is read in another process,
which is killed and replaced when it makes no progress, and which ends by itself when its order
stream does: no process outlives the one that asked.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stgraph.checks import InputError, integer, positive
from stgraph.datasets.videos.reading import decoder, open_video
from stgraph.reading import reason

__all__ = ["FileFacts", "read_each", "work"]

MOST_MEMORY = 4 << 30
"""Bytes that a process may take beside what it has once it can read videos."""
_BEAT = 0.5  # seconds between two signs of life, at least
_START = 300.0  # seconds that a process may take to start


@dataclass(frozen=True)
class FileFacts:
    """What reading a video told.

    Args:
        path: of the file, or the folder of images.
        reason: why it cannot be read; empty for a good one.
        frames: how many there are.
        height: rows of an upright frame.
        width: columns of an upright frame.
        seconds: from the first frame to the end of the last; ``None`` where times are not known.
        rate: frames a second, on average; ``None`` where times are not known.
        bytes: of the file, or of all in the folder.
    """

    path: str
    reason: str = ""
    frames: int = 0
    height: int = 0
    width: int = 0
    seconds: float | None = None
    rate: float | None = None
    bytes: int = 0


def read_each(
    paths: Sequence[str | Path],
    full: bool = True,
    processes: int | None = None,
    limit: float = 60.0,
) -> Iterator[tuple[int, FileFacts]]:
    """Read videos, several at a time, each in a process that may fail without harm.

    Args:
        paths: files and folders of images.
        full: decode all frames; otherwise only what the container says, and the first frame.
        processes: how many; as many as there are cores if None.
        limit: seconds after which a process that makes no progress is killed, and its file is bad.

    Yields:
        Number of the path and what reading it told, in the order in which they are done.

    Raises:
        InputError: on numbers below 1, or no limit.
        ModuleNotFoundError: without PyAV or Pillow.
        RuntimeError: when processes do not start.
    """
    positive("limit", limit)
    count = integer("processes", os.cpu_count() or 1 if processes is None else processes)
    decoder()
    todo: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
    for number, path in enumerate(paths):
        todo.put((number, str(path)))
    done: queue.SimpleQueue[tuple[int, FileFacts] | BaseException] = queue.SimpleQueue()
    readers = [_Reader(full, limit) for _ in range(min(count, len(paths)))]
    threads = [threading.Thread(target=_serve, args=(one, todo, done)) for one in readers]
    try:
        for thread in threads:
            todo.put(None)
            thread.start()
        for _ in paths:
            if isinstance(told := done.get(), BaseException):
                raise told
            yield told
    finally:  # also where nobody asks for the rest
        for one in readers:
            one.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _serve(reader: _Reader, todo: Any, done: Any) -> None:
    try:
        while (job := todo.get()) is not None and not reader.closed:
            done.put((job[0], reader(job[1])))
    except BaseException as error:
        done.put(error)
    finally:
        reader.close()


class _Reader:
    """A process that reads one file at a time; another takes its place when it ends."""

    def __init__(self, full: bool, limit: float) -> None:
        self.full, self.limit = full, limit
        self.closed = False
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()  # of what starts and ends processes

    def __call__(self, path: str) -> FileFacts:
        """Read a file."""
        process = self._started()
        assert process.stdin is not None
        order = {"path": path, "full": self.full, "limit": self.limit}
        with suppress(OSError):  # it has ended, which its answer tells
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        while (line := self._line(process, self.limit)) == ".\n":
            pass
        if line.endswith("\n"):
            return FileFacts(**json.loads(line))
        ended = self._end()
        late = line == _LATE or ended == -getattr(signal, "SIGALRM", 0)
        told = f"the decoder made no progress in {self.limit:g} s" if late else _told(ended)
        return FileFacts(path, told)

    def close(self) -> None:
        """End the process, and start none any more."""
        self.closed = True
        self._end()

    def _started(self) -> subprocess.Popen[str]:
        with self._lock:
            if self.closed:
                raise RuntimeError("the readers have ended")
            if self._process is not None:
                return self._process
            here = os.pathsep.join(place for place in sys.path if place)
            process = self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import work; work()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the process that asked
            )
        if self._line(process, _START) != "ready\n":
            self._end()
            raise RuntimeError("a process that reads videos does not start")
        return process

    def _line(self, process: subprocess.Popen[str], limit: float) -> str:
        """What the process says next; without an end of line where it ended or was too late."""
        assert process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, kill)
        timer.daemon = True
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        return line if line.endswith("\n") or not late.is_set() else _LATE

    def _end(self) -> int:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        status = process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()
        return status


_LATE = "late"


def _told(status: int) -> str:
    if status >= 0:
        return f"the decoder ended with status {status}"
    if status == -signal.SIGKILL:
        return "the decoder was killed, perhaps for want of memory"
    return f"the decoder crashed with {signal.Signals(-status).name}"


def work() -> None:
    """Read the files that standard input names, a line each, and answer in lines.

    It ends with its input, also in the middle of a file; and by an alarm of the system when a
    decoder lets nothing else run.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print is no answer
        decoder()
        _bound_memory()
        orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(orders,), daemon=True).start()
        _say(out, "ready")
        while True:
            order = json.loads(orders.get())
            with _alarm(order["limit"]) as alive:

                def beat(alive: Any = alive) -> None:
                    alive()
                    _say(out, ".")

                facts = _read(order["path"], order["full"], beat)
            _say(out, json.dumps(asdict(facts)))


def _listen(orders: Any) -> None:
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


def _say(out: Any, text: str) -> None:
    out.write(f"{text}\n")
    out.flush()


@contextmanager
def _alarm(limit: float) -> Iterator[Any]:
    """Let the system end this process when nothing happens for longer than the limit."""
    if not hasattr(signal, "setitimer"):  # on Windows
        yield lambda: None
        return

    def alive() -> None:
        signal.setitimer(signal.ITIMER_REAL, limit + 5)

    alive()
    try:
        yield alive
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _bound_memory() -> None:
    """Let what a file claims fail in place of taking all memory."""
    status = Path("/proc/self/statm")
    if status.exists():  # on Linux
        import resource

        has = int(status.read_text().split()[0]) * resource.getpagesize()
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        bound = has + MOST_MEMORY
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(resource.RLIMIT_AS, (bound, most))


def _read(path: str, full: bool, beat: Any) -> FileFacts:
    """Read a video; whatever goes wrong is a reason."""
    try:
        video = open_video(path)
        first, last = next(video.frames()), time.monotonic()
        if full:
            for _ in video.frames():
                if time.monotonic() > last + _BEAT:
                    beat()
                    last = time.monotonic()
        times = video.times
        step = None if times is None or len(times) < 2 else float(times[-1]) / (len(times) - 1)
        return FileFacts(
            path,
            frames=video.length,
            height=first.size(1),
            width=first.size(2),
            seconds=None if times is None or step is None else float(times[-1]) + step,
            rate=1 / step if step else None,
            bytes=_bytes(Path(path)),
        )
    except InputError as error:
        return FileFacts(path, str(error))
    except Exception as error:  # of an unknown kind: it belongs to this file too
        return FileFacts(path, f"{type(error).__name__}: {reason(error)}")


def _bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
