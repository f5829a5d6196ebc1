"""Large JSON, piece by piece: the same as all at once, in bounded memory."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from typing import Any

import pytest

from stgraph.reading import JsonPieces, pieces


def some_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(6 if depth < 3 else 4)
    if kind == 4:
        return [some_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    if kind == 5:
        return {f'k{i} é"': some_value(chance, depth + 1) for i in range(chance.randrange(5))}
    return chance.choice([None, True, 12, -3.5e7, 'text [{\\" ü', "", 123456789012])


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_pieces_are_the_whole(monkeypatch, block):
    monkeypatch.setattr(pieces, "_BLOCK", block)
    chance = random.Random(block)
    for _ in range(60):
        content = {f"ä{n}": some_value(chance) for n in range(chance.randrange(6))}
        text = json.dumps(content, indent=chance.choice([None, 3]), ensure_ascii=False).encode()
        reader = JsonPieces(io.BytesIO(text + b" \n"))
        assert {name: reader.value() for name in reader.members()} == content
        reader.end()
        values = [some_value(chance) for _ in range(chance.randrange(6))]
        reader = JsonPieces(io.BytesIO(json.dumps(values).encode()))
        assert list(reader.elements()) == values
        reader.end()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'{' expected at character 0, not ''"),
        ("[]", r"'{' expected at character 0, not '\['"),
        ('{"a": 1', "',' or '}' expected at character 7, not ''"),
        ('{"a": 1,}', "Expecting value, character 8"),
        ('{"a" 1}', "':' expected at character 5, not '1'"),
        ("{3: 1}", "a name expected before character 2"),
        ('{"a": 1} 2', "more than one value, from character 9"),
        ('{"a": [1, 2}', "character 11"),
        ('{"a": NaN}', "NaN, which is no number of JSON"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text, message):
    def read():
        reader = JsonPieces(io.BytesIO(text.encode()))
        for _ in reader.members():
            reader.value()
        reader.end()

    with pytest.raises(ValueError, match=message):
        read()


def test_pieces_are_bounded():
    reader = JsonPieces(io.BytesIO(b"[[" + b"1, " * 10_000 + b"1]]"), most=1000)
    with pytest.raises(ValueError, match="no value of at most 1000 characters at 1"):
        list(reader.elements())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "large.json"
    piece = b'["abc", 1.5, {"d": [null, true]}], '
    path.write_bytes(b"[" + piece * 200_000 + b"0]")  # 7 MB, which would be 100 in memory
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            assert sum(1 for _ in JsonPieces(file).elements()) == 200_001
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("block", [1, 1000])
def test_a_piece_is_as_long_as_it_may_be_to_the_character(monkeypatch, block):
    """Also one that a number of as many characters as were read may go on beyond."""
    monkeypatch.setattr(pieces, "_BLOCK", block)
    text = b" [12345678, 1]"
    assert list(JsonPieces(io.BytesIO(text), most=8).elements()) == [12345678, 1]
    with pytest.raises(ValueError, match="no value of at most 7 characters at 2"):
        list(JsonPieces(io.BytesIO(text), most=7).elements())


def test_no_more_is_read_than_a_piece_may_have(monkeypatch):
    monkeypatch.setattr(pieces, "_BLOCK", 1)
    file = io.BytesIO(b'["' + b"x" * 1000)  # without an end
    with pytest.raises(ValueError, match="no value of at most 10 characters at 1"):
        list(JsonPieces(file, most=10).elements())
    assert file.tell() < 40
