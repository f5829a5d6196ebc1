"""Downloads that resume and are verified before they get their name."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stgraph.checks import choice
from stgraph.reading import digest
from stgraph.writing import settle

__all__ = ["MIRRORS", "MNIST_FILES", "RemoteFile", "fetch", "mnist_file"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_BLOCK = 1 << 16


class RemoteFile(NamedTuple):
    """What a download must turn out to be."""

    size: int
    sha256: str


MNIST_FILES = {
    "train-images-idx3-ubyte.gz": RemoteFile(
        9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": RemoteFile(
        28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": RemoteFile(
        1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": RemoteFile(
        4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


def mnist_file(name: str, folder: Path) -> Path:
    """Download one of the four files of MNIST from a public mirror: see :func:`fetch`."""
    expected = MNIST_FILES[choice("name", name, MNIST_FILES)]
    return fetch([mirror + name for mirror in MIRRORS], folder / name, expected)


def fetch(
    urls: Sequence[str],
    target: Path,
    expected: RemoteFile,
    *,
    attempts: int = 3,
    timeout: float = 30.0,
) -> Path:
    """Download a file from the first address that delivers it whole.

    The bytes go to ``<target>.part``. What a broken transfer left there is asked for no second
    time, not by a later call either. Only a file of the right size and digest is renamed to
    ``target``; one with a wrong digest is deleted.

    Args:
        urls: where the same file lies, tried in order.
        target: where it goes; its folder is made.
        expected: its size and digest.
        attempts: transfers for each address, each resuming the one before.
        timeout: seconds that a server may stay silent.

    Returns:
        ``target``.

    Raises:
        OSError: when no address delivers it, with the reason for each.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        for _ in range(attempts):
            try:
                _resume(url, part, expected.size, timeout)
                _verify(part, expected)
            except _UnfitError as error:  # this address has another file: asking again is no use
                failures.append(f"{url}: {error}")
                break
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
            else:
                return settle(part, target)
    raise OSError(f"could not download {target.name}:\n  " + "\n  ".join(failures))


class _UnfitError(Exception):
    """The server has another file under this address, or none."""


def _resume(url: str, part: Path, size: int, timeout: float) -> None:
    """Append what is missing of a file, or write it anew if the server does not resume."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code < 500:
                raise _UnfitError(f"HTTP {error.code} {error.reason}") from error
            raise OSError(f"HTTP {error.code} {error.reason}") from error
    with response:
        resumes = response.status == 206
        if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _UnfitError(
                f"asked for bytes {have}-, got {response.headers.get('Content-Range')}"
            )
        with part.open("ab" if resumes else "wb") as file:
            while file.tell() <= size and (block := response.read(_BLOCK)):
                file.write(block)
    got = part.stat().st_size
    if got < size:
        raise OSError(f"the connection ended after {got} of {size} bytes")


def _verify(part: Path, expected: RemoteFile) -> None:
    """Delete a whole file that is not the expected one, and say so."""
    got = digest(part)
    if (part.stat().st_size, got) != expected:
        part.unlink()
        raise _UnfitError(f"expected SHA-256 {expected.sha256}, got {got}")
