from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stgraph.checks import InputError
from stgraph.reading import check_yaml, parse_json, read_json, read_text, read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1",
        "a: &one [1, 2]\nb: [*one, *one]\nc: {<<: &two {x: 1}, y: *one}",
        "*.bias",  # a word of the command line, which is no YAML
        "*",
        "[fc.*, 'graph_blocks.*']",
        "a: [1",
        "digest: 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        f"digits: '{'1' * 100}'",
        f"deep: {'[' * 62}{']' * 62}",
        "x" * 2**14,
        "#" * 2**20,
        "- 1\n" * 99_999,  # and the list
        "\t- a",
        "--- 1\n--- 2",
    ],
)
def test_what_is_in_use_passes(text: str) -> None:
    check_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [1, *a]", r"aliases of what stands before them, got \*a"),
        ("&a {b: {c: *a}}", r"got \*a"),
        ("[" * 64, "nested at most 64 deep"),
        ("- " * 100, "nested at most 64 deep"),
        ("a: " * 100 + "1", None),  # which is no YAML
        ("a: " + "9" * 40, "numbers of at most 32 digits"),
        ("a: " + ":".join("1" * 100), "numbers of at most 32 digits"),
        ("a: 0x" + "f" * 100, "numbers of at most 32 digits"),
        ("a: " + "x" * (2**14 + 1), "text of 16384 characters, got 16385"),
        ("- 1\n" * 100_000, "at most 100000 values"),
        ("#" * (2**20 + 1), "at most 1048576 characters"),
        (
            "- &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n- &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            "- &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n- &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
            "- [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
            "more, by its aliases",
        ),
        ("- &a [1]\n" + "- &b [*a, *a]\n- &a [*b, *b]\n" * 9, "more, by its aliases"),
    ],
)
def test_what_has_no_end_is_refused(text: str, message: str | None) -> None:
    if message is None:
        check_yaml(text)
        return
    with pytest.raises(InputError, match=f"config: expected .*{message}"):
        check_yaml(text)


def test_yaml_is_what_a_safe_loader_makes_of_it(tmp_path: Path) -> None:
    text = "a: &one [1, 2.5, null, true, text]\nb: {c: *one}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml", "a configuration") == yaml.safe_load(text)
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.getpid []")
    with pytest.raises(InputError, match=r"a\.yaml: expected a configuration, got a file that"):
        read_yaml(tmp_path / "a.yaml", "a configuration")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not load"),
        ("NaN", "NaN, which is no number of JSON"),
        ("[-Infinity]", "-Infinity, which is no"),
        ("1" * 40, "a number of 40 digits"),
        ("[" * 100 + "]" * 100, "nested deeper than 64"),
        ("[" * 10**5, "does not load"),
        (" " * (2**20 + 1), "more than 1048576 bytes"),
    ],
)
def test_json_without_an_end_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=f"source: expected a configuration, got .*{message}"):
        read_json(tmp_path / "a.json", "a configuration", "source")


def test_text_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("σ".encode())
    assert read_text(tmp_path / "a.txt", "text") == "σ"
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="does not load"):
        read_text(tmp_path / "a.txt", "text")


def test_a_file_may_be_as_long_as_its_reader_says(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(" " * (2**20 + 1) + "[1]")
    assert read_json(tmp_path / "a.json", "a list", most=2**21) == [1]
    with pytest.raises(InputError, match="more than 5 bytes"):
        read_json(tmp_path / "a.json", "a list", most=5)
    (tmp_path / "b.json").write_text("[1,2]")
    assert read_json(tmp_path / "b.json", "a list", most=5) == [1, 2]


def test_json_may_be_nested_as_deep_as_is_said() -> None:
    value = parse_json("[" * 63 + "1" + "]" * 63)  # the number is a level too
    for _ in range(63):
        (value,) = value
    assert value == 1
    with pytest.raises(ValueError, match="nested deeper than 64"):
        parse_json("[" * 64 + "1" + "]" * 64)
