"""The command ``stgraph``: finds what a subcommand needs, and says in one line what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import NoReturn

import stgraph
from stgraph.commands.overview import PURPOSES
from stgraph.signals import Interrupted, handled

__all__ = ["main"]

COMMANDS = {
    **PURPOSES,
    "demo": "train the demonstration on embedded digits and write its report",
    "demo-video": "make videos, train on them, and do all that there is to do with videos",
    "show": "write a page of the regions that a model finds in a clip",
    "extract": "write a data set of the graphs that a model makes of clips",
    "export": "write a trained model into a file that runs without this library",
    "study": "do the runs of a table, rows × seeds, and write the table",
    "inspect": "read every video of a folder, a list or a data set, and report what there is",
}
RUN_PARTS = ("data", "model", "trainer")
"""Parts of a run whose options a command hands on, if it has an argument ``options``."""
OF_EXPORT = {"onnx", "onnxruntime", "onnxscript"}
"""Packages of the extra ``export``."""
VIDEOS = "--video"
POSITIONAL = {"inspect", "study"}
"""Commands whose options without a default are given without their names."""


class _Parser(argparse.ArgumentParser):
    """One that says what is wrong in a sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (`{self.prog} --help` lists what there is)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: what follows ``stgraph``; that of the process when none. Nothing at all prints
            the help, with status 0.
    """
    parser = _Parser(
        prog="stgraph",
        description="Space-time graphs over video features.",
        epilog="commands:\n"
        + "\n".join(f"  {name:12}{summary}" for name, summary in COMMANDS.items())
        + "\n\n`stgraph COMMAND --help` lists the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stgraph {stgraph.__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the command")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        parser.print_help()
        return 0
    given = parser.parse_args(words)
    sys.path.append(str(Path.cwd()))  # where a user's own parts lie, as with `python -m`
    try:
        with handled():
            result = _find(given.command, given.options)(gathered(given.options))
    except Interrupted as stop:
        print(f"stgraph {given.command}: {stop}", file=sys.stderr)
        return int(stop.code or 0)
    except BrokenPipeError:
        print(f"stgraph {given.command}: nobody reads its output any more", file=sys.stderr)
        with suppress(OSError, ValueError):  # what is left of it goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as of SIGPIPE
    except argparse.ArgumentError as error:  # an option: `--help` helps
        wrong = " ".join(str(_input_error(error) or error).split())
        advice = f"`stgraph {given.command} --help` lists the options"
        print(f"stgraph {given.command}: error: {wrong} ({advice})", file=sys.stderr)
        raise SystemExit(2) from None
    except ValueError as error:
        if (told := _input_error(error)) is None:
            raise
        print(f"stgraph {given.command}: error: {told}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "stgraph":
            raise
        extras = "export" if error.name in OF_EXPORT else "train,viz"
        print(
            f"stgraph {given.command}: error: needs {error.name}; "
            f"pip install 'stgraph-video[{extras}]'",
            file=sys.stderr,
        )
        return 2
    return int(isinstance(result, int) and result > 0)  # how many videos are bad, or runs failed


def _input_error(error: BaseException | None) -> BaseException | None:
    """Find the bad input behind an error; the parser wraps those of the parts it builds."""
    if "stgraph.checks" not in sys.modules:  # which brings torch: nobody has raised it yet
        return None
    from stgraph.checks import InputError

    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def _find(command: str, options: Sequence[str]) -> Callable[[Sequence[str]], object]:
    """Import a command alone: each needs extras, and none should wait for those of others."""
    videos = any(word.split("=")[0] == VIDEOS for word in options)
    if command in PURPOSES and not (command == "predict" and videos):
        from stgraph.commands.runs import run

        return lambda options: run(command, options)
    name = command.replace("-", "_")
    function = getattr(import_module(f"stgraph.commands.{name}"), name)
    return lambda options: _call(function, command, options)


def gathered(options: Sequence[str]) -> list[str]:
    """Options with all words after ``--video`` as one list, as a shell writes out ``*.mp4``.

    Examples:
        >>> gathered(["--video", "a.mp4", "b.mp4", "--ckpt", "x"])
        ['--video=["a.mp4", "b.mp4"]', '--ckpt', 'x']
    """
    words = list(options)
    if VIDEOS not in words:
        return words
    first = words.index(VIDEOS)
    rest = words[first + 1 :]
    named = (place for place, word in enumerate(rest) if word.startswith("-") and word != "-")
    end = next(named, len(rest))
    if not rest[:end]:  # `--video --help`; without the help, it is told to be missing
        return [*words[:first], *rest]
    return [*words[:first], f"{VIDEOS}={json.dumps(rest[:end])}", *rest[end:]]


def _call(function: Callable[..., object], command: str, options: Sequence[str]) -> object:
    """Call a function with options that its signature and docstring describe."""
    from jsonargparse import ArgumentParser

    description = COMMANDS[command]
    more: dict[str, list[str]] = {}
    skip: set[str | int] = set()
    if "options" in signature(function).parameters:
        options, rest = _apart(options)
        more, skip = {"options": rest}, {"options"}
        description += "; it takes the options of a run too: --data…, --model… and --trainer…"
    parser = ArgumentParser(prog=f"stgraph {command}", description=description, exit_on_error=False)
    positional = command in POSITIONAL
    parser.add_function_arguments(function, as_group=False, as_positional=positional, skip=skip)
    return function(**parser.parse_args(options).as_dict(), **more)


def _apart(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell the options of a command from those of the run that it is about."""
    mine: list[str] = []
    of_run: list[str] = []
    into = mine
    for word in options:
        if word.startswith("--"):
            head = re.split(r"[.=+]", word.removeprefix("--"), maxsplit=1)[0]
            into = of_run if head in RUN_PARTS else mine
        into.append(word)
    return mine, of_run
