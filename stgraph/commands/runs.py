"""``stgraph fit``, ``validate``, ``test`` and ``predict``, and what they say of their options."""

from __future__ import annotations

from collections.abc import Sequence

from stgraph.commands.overview import overview, unmarked

__all__ = ["run"]


def run(command: str, options: Sequence[str]) -> None:
    """Carry a command out, or print the help that is asked for.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: what follows it. ``--help`` prints what is used most, ``--help.all`` every option,
            and ``--model.model.help NAME`` (and so for any part) the options of a part.
    """
    if {"-h", "--help"} & set(options):
        print(overview(command))
        raise SystemExit(0)
    from stgraph.runs.command import Command
    from stgraph.runs.part_help import part_help

    if "--help.all" in options:
        options = ["--help"]
    elif (text := part_help(command, options)) is not None:
        print(unmarked(text))
        return
    Command([command, *options])
