"""Where a run lies, and that nobody else trains it at the same time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.runs import folder
from stgraph.runs.folder import locked, run_folder

Config = Callable[..., str]

HOLD = """
import sys, time
from pathlib import Path
from stgraph.runs.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""

FORK = """
import os, sys, time
from pathlib import Path
from stgraph.runs.folder import locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:
        print("forked", flush=True)
        sys.stdin.read()
        print("ended", flush=True)
        os._exit(0)
    time.sleep(600)
"""


@pytest.mark.parametrize("name", ["first", "series/first", "a/./b", " b", "..hidden", "größer"])
def test_a_run_lies_in_the_folder_of_runs(tmp_path: Path, name: str) -> None:
    assert run_folder(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "./", "..", "../x", "../../x", "a/../../x", "a/..", "/tmp/x", "a\0b", "a\nb"],
)
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="run: expected the name of a folder"):
        run_folder(tmp_path / "runs", name)


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (runs / "link").symlink_to(tmp_path / "elsewhere")
    (runs / "circle").symlink_to(runs / "circle")
    (tmp_path / "scratch").symlink_to(runs)
    for name in ("link", "link/x", "circle", "circle/x", "n" * 5000):
        with pytest.raises(InputError, match="run: expected the name of a folder"):
            run_folder(runs, name)
    assert run_folder(tmp_path / "scratch", "x") == tmp_path / "scratch" / "x"


def test_a_folder_within_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/x"):
        with pytest.raises(InputError, match="which is a file"):
            run_folder(tmp_path, name)


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_no_command_leaves_the_folder_of_runs(
    config: Config, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("../x", str(Path.cwd() / "x")):
        assert main([command, "--config", config(), "--run", name]) == 2
        assert "run: expected the name of a folder" in capsys.readouterr().err
    assert not Path("x").exists()


def test_a_lock_is_gone_afterwards_and_so_is_an_empty_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "a"):
        told = json.loads((tmp_path / "a/.lock").read_text())
        assert told["pid"] == os.getpid()
        assert told["host"] == socket.gethostname()
        assert not (tmp_path / "a/.lock").stat().st_mode & 0o133  # others read it, and no more
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    with locked(tmp_path / "b"):
        (tmp_path / "b/kept").touch()
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["kept"]
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "c"):
        pass
    assert (tmp_path / "c").is_dir()  # it was there before


def test_a_lock_that_a_crash_left_is_written_anew(tmp_path: Path) -> None:
    """All of it, though what stood there was longer."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.lock").write_text(json.dumps({"pid": 1, "host": "h" * 500, "since": "then"}))
    with locked(tmp_path / "a"):
        assert json.loads((tmp_path / "a/.lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "a/.lock").exists()


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a file system without locks, of which people are warned; and where Python has none."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError("No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.warns(UserWarning, match=r"cannot be locked \(No locks"), locked(tmp_path):
            assert (tmp_path / ".lock").exists()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_who_holds_a_lock_is_told(tmp_path: Path) -> None:
    with locked(tmp_path / "a"):
        told = rf"run: .*a, which process {os.getpid()} on {socket.gethostname()} trains since"
        with pytest.raises(InputError, match=told), locked(tmp_path / "a"):
            pass
        assert (tmp_path / "a/.lock").exists()
        with locked(tmp_path / "b"):  # another run
            pass
    with locked(tmp_path / "a"):
        pass


def test_a_lock_that_was_made_anew_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes it and the next one makes it, after we open it and before it is ours."""
    plain, seen = folder._lock, []

    def late(file: int, path: Path, *told: str) -> None:
        seen.append(os.fstat(file).st_ino)
        if len(seen) == 1:
            path.rename(path.with_name("removed"))  # kept, so that no other file has its number
            path.touch()
        plain(file, path, *told)

    monkeypatch.setattr(folder, "_lock", late)
    with locked(tmp_path / "a"):
        assert (tmp_path / "a/.lock").stat().st_ino == seen[-1] != seen[0]
        monkeypatch.setattr(folder, "_lock", plain)
        with pytest.raises(InputError, match=r"run: .* trains since"), locked(tmp_path / "a"):
            pass


@pytest.mark.slow
def test_a_kill_leaves_a_lock_that_holds_nothing(tmp_path: Path) -> None:
    left = [tmp_path / name for name in (".a.part", "checkpoints/.b.part", "csv/version_0/.c.part")]
    others = tmp_path / "another/checkpoints/.d.part"  # of a run in this one's folder
    for part in (*left, others):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"half of a file")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(InputError, match=f"process {other.pid} on"), locked(tmp_path):
                pass
        finally:
            other.kill()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        assert not any(part.exists() for part in left)
        assert others.exists()


@pytest.mark.slow
def test_a_forked_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A loader's worker may live on for some seconds after its parent was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "forked\n"
            with pytest.raises(InputError, match=f"process {other.pid} on"), locked(tmp_path):
                pass
            other.kill()
            other.wait()
            with locked(tmp_path):
                assert (tmp_path / ".lock").exists()
        finally:
            other.kill()
            other.stdin.close()  # for which the forked one waits
        assert other.stdout.readline() == "ended\n"  # so it was there all the time


@pytest.mark.slow
def test_a_second_fit_changes_nothing(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("runs/small")
    with locked(folder):
        (folder / "kept").write_text("kept")
        for more in ([], ["--ckpt_path", "last"], ["--run", "small/"]):
            assert main(["fit", "--config", config(), *more]) == 2
            error = capsys.readouterr().err
            assert "run: expected one that nobody trains, got runs/small, which process" in error
        assert {file.name for file in folder.iterdir()} == {".lock", "kept"}
        assert main(["fit", "--config", config(), "--run", "other"]) == 0
    assert main(["fit", "--config", config()]) == 0
    assert not (folder / ".lock").exists()
