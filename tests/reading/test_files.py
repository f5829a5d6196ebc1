from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stgraph.checks import InputError
from stgraph.reading import digest


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5])
def test_a_digest_is_that_of_all_of_a_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"." * (size % 256))
    assert path.stat().st_size == size
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_digest_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a list of clips"):
        digest(tmp_path / "none", "a list of clips")
