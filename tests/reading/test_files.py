from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.reading import digest, reason
from stgraph.reading.files import fill, members


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5])
def test_a_digest_is_that_of_all_of_a_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"." * (size % 256))
    assert path.stat().st_size == size
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_digest_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a list of clips"):
        digest(tmp_path / "none", "a list of clips")


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_memory_is_filled_with_all_of_a_file(size: int) -> None:
    content = bytes(range(size))
    memory = memoryview(bytearray(size))
    fill(io.BytesIO(content), memory)
    assert memory.tobytes() == content
    with pytest.raises(ValueError, match=f"has more than {size} bytes"):
        fill(io.BytesIO(content + b"x"), memory)
    with pytest.raises(ValueError, match=f"ends after {size} of {size + 1} bytes"):
        fill(io.BytesIO(content), memoryview(bytearray(size + 1)))


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    """As caches of hubs have them."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "again").symlink_to("link")
    assert digest(tmp_path / "again") == digest(tmp_path / "link") == digest(tmp_path / "file")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("\n first\nsecond"), "first"),
        (ValueError("x" * 301), "x" * 300),
        (ValueError(), "ValueError"),
        (PermissionError(13, "no right to", "a.txt"), "no right to"),
    ],
    ids=str,
)
def test_a_reason_is_one_short_line(error: Exception, told: str) -> None:
    assert reason(error) == told


@pytest.fixture
def archive() -> zipfile.ZipFile:
    """Two plain members of 30 and of 12 bytes."""
    made = zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_STORED)
    made.writestr("a", bytes(30))
    made.writestr("b", bytes(12))
    return made


def test_members_are_no_larger_than_their_file(archive: zipfile.ZipFile) -> None:
    assert list(members(archive, 42, packed=False)) == ["a", "b"]
    with pytest.raises(ValueError, match="unpacks to 42 bytes, more than 41 in a file of 41"):
        members(archive, 41, packed=False)


@pytest.mark.parametrize("change", [{"file_size": 31}, {"file_size": 29}, {"compress_type": 8}])
def test_what_is_said_to_be_plain_is_as_large_as_it_is_packed(
    archive: zipfile.ZipFile, change: dict[str, int]
) -> None:
    for name, value in change.items():
        setattr(archive.infolist()[0], name, value)
    with pytest.raises(ValueError, match="'a' is packed in another way"):
        members(archive, 100, packed=False)
