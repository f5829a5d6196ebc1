from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.reading import digest
from stgraph.reading.files import fill


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
