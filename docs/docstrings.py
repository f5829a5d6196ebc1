"""Docstrings as Markdown: what the reference pages are made with.

The docstrings of the package are reStructuredText, with formulas, roles and tables that Python's
``help`` shows as they stand. ``to_markdown`` says the same in Markdown; ``Markdown`` is the
extension of griffe, named in mkdocs.yml, that has it done before a page is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

try:
    from griffe import AliasResolutionError, Extension, NameResolutionError
except ImportError:  # without the extra ``docs``, to_markdown is all there is
    Extension = object

__all__ = ["Markdown", "to_markdown"]

_MATH = re.compile(r"^(?P<indent> *)\.\. math::(?P<first>.*)$")
_RULE = re.compile(r"^(?P<indent> *)=+(?:  +=+)+ *$")
_ROLE = re.compile(r":(?P<role>attr|class|data|func|meth|mod):`(?P<short>~?)(?P<name>[\w.]+)`")
_INLINE_MATH = re.compile(r":math:`([^`]+)`")


def to_markdown(text: str, link: Callable[[str], str | None] = lambda name: None) -> str:
    """Say in Markdown what a docstring says in reStructuredText.

    Args:
        text: the docstring.
        link: from a name as it stands in a role to the full path that the reference has it under,
            or to ``None`` where it has not; such names become code without a link.
    """

    def role(match: re.Match[str]) -> str:
        name = match["name"]
        path, shown = link(name), name.rpartition(".")[2] if match["short"] else name
        return f"`{shown}`" if path is None else f"[`{shown}`][{path}]"

    lines = text.splitlines()
    out: list[str] = []
    while lines:
        line = lines.pop(0)
        if found := _MATH.match(line):
            body = [found["first"], *_indented(lines, len(found["indent"]))]
            out += _block(body, found["indent"])
        elif found := _RULE.match(line):
            out += _table(line, lines, found["indent"])
        elif line.endswith("::"):
            indent = len(line) - len(line.lstrip())
            body = _indented(lines, indent)
            out += [line[:-1], "", *_fenced(body, " " * indent), ""]
        else:
            out.append(line)
    prose = _INLINE_MATH.sub(r"\\(\1\\)", "\n".join(out))
    return _ROLE.sub(role, prose)


def _indented(lines: list[str], indent: int) -> list[str]:
    """Take off the lines that belong to a directive: blank, or further in than it stands."""
    body = []
    while lines and (not lines[0].strip() or lines[0].startswith(" " * (indent + 1))):
        body.append(lines.pop(0))
    return body


def _block(body: list[str], indent: str) -> list[str]:
    """Formulas between dollars; blank lines part one from the next."""
    out = [""]
    for formula in re.split(r"\n\s*\n", "\n".join(body)):
        rows = [f"{indent}{row.strip()}" for row in formula.splitlines() if row.strip()]
        if not rows:
            continue
        if "&" in formula:
            rows = [rf"{indent}\begin{{aligned}}", *rows, rf"{indent}\end{{aligned}}"]
        out += [f"{indent}$$", *rows, f"{indent}$$", ""]
    return out


def _fenced(body: list[str], indent: str) -> list[str]:
    """A literal block between fences, with the indentation of what it stands in."""
    full = [line for line in body if line.strip()]
    inner = min((len(line) - len(line.lstrip()) for line in full), default=0)
    code = "\n".join(line[inner:] for line in body).strip("\n").splitlines()
    return [f"{indent}```", *(f"{indent}{line}".rstrip() for line in code), f"{indent}```"]


def _table(rule: str, lines: list[str], indent: str) -> list[str]:
    """Read a simple table up to its last rule; a row without a first cell goes on with the last."""
    starts = [match.start() for match in re.finditer(r"=+", rule)]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    parts: list[list[list[str]]] = [[]]
    while lines and lines[0].strip():
        line = lines.pop(0)
        if _RULE.match(line):
            parts.append([])
            continue
        cells = [line[start:end].strip().replace("|", r"\|") for start, end in spans]
        if cells[0] or not parts[-1]:
            parts[-1].append(cells)
        else:
            last = parts[-1][-1]
            parts[-1][-1] = [f"{a} {b}".strip() for a, b in zip(last, cells, strict=True)]
    parts = [rows for rows in parts if rows]
    head = parts.pop(0)[0] if len(parts) > 1 else [""] * len(starts)
    rows = [head, ["---"] * len(starts), *(row for rows in parts for row in rows)]
    return [f"{indent}| {' | '.join(row)} |" for row in rows]


class Markdown(Extension):
    """Turn every docstring of a package into Markdown, with links to what the reference shows."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Convert the docstrings once all of the package is read."""
        shown = set(_shown(pkg))
        for thing in _all(pkg):
            if thing.docstring is not None:
                value = thing.docstring.value
                thing.docstring.value = to_markdown(value, _links(pkg, thing, shown))


def _all(thing: Any) -> list[Any]:
    """A thing and whatever is defined in it."""
    inside = [member for member in thing.members.values() if not member.is_alias]
    return [thing, *(one for member in inside for one in _all(member))]


def _meant(thing: Any) -> Any:
    """What a name stands for: not an alias, and of a function and its file the function."""
    thing = thing.final_target if thing.is_alias else thing
    return thing.members.get(thing.name, thing) if thing.is_module else thing


def _shown(package: Any) -> list[str]:
    """Paths of what the reference has: rooms, what they export, and what is described in that."""
    paths = []
    for room in [package, *package.modules.values()]:
        paths.append(room.path)
        for thing in (_meant(room.members[str(name)]) for name in room.exports or ()):
            paths.append(thing.path)
            inside = [member for member in thing.members.values() if not member.is_alias]
            paths += [one.path for one in inside if one.docstring and one.name[0] != "_"]
    return paths


def _links(package: Any, thing: Any, shown: set[str]) -> Callable[[str], str | None]:
    """What names mean in the docstring of a thing."""

    def link(name: str) -> str | None:
        first, _, rest = name.partition(".")
        try:
            if first != package.name:
                name = ".".join(filter(None, (_resolve(thing, first), rest)))
            path = _meant(package[name.partition(".")[2]]).path
        except (AliasResolutionError, KeyError, NameResolutionError, ValueError):
            return None
        return path if path in shown else None

    return link


def _resolve(thing: Any, name: str) -> str:
    """The full path of a name in the scope of a thing, inherited members among it."""
    holder = thing if thing.is_class else thing.parent
    inherited = holder.inherited_members if holder is not None and holder.is_class else {}
    if name in inherited and name not in holder.members:
        return inherited[name].final_target.path
    return thing.resolve(name)
