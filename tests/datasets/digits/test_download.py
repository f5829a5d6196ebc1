from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stgraph.checks import InputError
from stgraph.datasets.digits import download
from stgraph.datasets.digits.download import RemoteFile, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
EXPECTED = RemoteFile(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Server(ThreadingHTTPServer):
    """Serves ``content``; ``limits`` says after how many bytes each answer breaks off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.limits: list[int] = []
        self.resumes = True
        self.statuses: list[int] = []
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = 0
        if wanted and server.resumes:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.limits.pop(0)] if server.limits else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.gz"


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_whole_file_gets_its_name(server: Server, target: Path) -> None:
    assert fetch([server.url], target, EXPECTED) == target
    assert target.read_bytes() == CONTENT
    assert names(target) == ["file.gz"]
    assert server.asked == [None]


def test_a_broken_transfer_goes_on_where_it_ended(server: Server, target: Path) -> None:
    server.limits = [100_000, 50_000]
    fetch([server.url], target, EXPECTED)
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert target.read_bytes() == CONTENT
    assert names(target) == ["file.gz"]


def test_a_later_call_goes_on_too(server: Server, target: Path) -> None:
    server.limits = [100_000, 50_000]
    with pytest.raises(OSError, match="the connection ended after 150000 of 300000 bytes"):
        fetch([server.url], target, EXPECTED, attempts=2)
    assert names(target) == ["file.gz.part"]
    fetch([server.url], target, EXPECTED)
    assert server.asked[2:] == ["bytes=150000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_does_not_resume_sends_all_again(server: Server, target: Path) -> None:
    server.limits, server.resumes = [100_000], False
    fetch([server.url], target, EXPECTED)
    assert server.asked == [None, "bytes=100000-"]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"more", CONTENT[:-1] + b"?"])
def test_another_file_is_deleted(server: Server, target: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(OSError, match=f"could not download file.gz:\n.*SHA-256 {EXPECTED.sha256}"):
        fetch([server.url], target, EXPECTED)
    assert names(target) == []
    assert len(server.asked) == 1  # asking again would be no use


def test_a_spoilt_beginning_is_not_kept(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(bytes(1000))
    with pytest.raises(OSError, match="SHA-256"):
        fetch([server.url], target, EXPECTED)
    assert names(target) == []
    fetch([server.url, server.url], target, EXPECTED)
    assert target.read_bytes() == CONTENT


def test_a_spoilt_beginning_costs_one_address(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(bytes(1000))
    fetch([server.url, server.url], target, EXPECTED)
    assert server.asked == ["bytes=1000-", None]


def test_the_next_address_helps_out(server: Server, target: Path) -> None:
    server.statuses = [404, 503, 500]
    closed = "http://127.0.0.1:9/file"  # nothing listens there
    fetch([closed, server.url, server.url], target, EXPECTED)
    assert len(server.asked) == 4  # 404 once, then 503, 500 and the file
    assert target.read_bytes() == CONTENT


def test_a_file_of_part_that_is_whole_is_verified_only(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(CONTENT)
    fetch([server.url], target, EXPECTED)
    assert not server.asked
    assert names(target) == ["file.gz"]


def test_a_server_may_be_silent_for_so_many_seconds(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    whole = download.urllib.request.urlopen

    def opened(request: object, timeout: float) -> object:
        waited.append(timeout)
        return whole(request, timeout=timeout)

    monkeypatch.setattr(download.urllib.request, "urlopen", opened)
    fetch([server.url], target, EXPECTED, timeout=7.5)
    assert waited == [7.5]


def test_mnist_comes_from_its_mirrors(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path
) -> None:
    monkeypatch.setattr(download, "MIRRORS", (server.url + "/",))
    monkeypatch.setitem(download.MNIST_FILES, "t10k-labels-idx1-ubyte.gz", EXPECTED)
    path = download.mnist_file("t10k-labels-idx1-ubyte.gz", target.parent)
    assert path.read_bytes() == CONTENT
    with pytest.raises(InputError, match="name: expected one of 'train-images"):
        download.mnist_file("emnist.gz", target.parent)
