"""The command ``stgraph``: finds what a subcommand needs, and says in one line what is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import stgraph
from stgraph.signals import Interrupted, handled

__all__ = ["main"]

COMMANDS = {
    "fit": "train a model: --config configs/NAME.yaml",
    "validate": "measure a model on the validation clips",
    "test": "measure a model on the test clips",
    "predict": "write a model's answer to each clip",
    "demo": "train the demonstration on embedded digits and write its report",
    "show": "write a page of the regions that a model finds in a clip",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: what follows ``stgraph``; that of the process when none.
    """
    parser = argparse.ArgumentParser(
        prog="stgraph",
        description="Space-time graphs over video features.",
        epilog="commands:\n"
        + "\n".join(f"  {name:10}{summary}" for name, summary in COMMANDS.items())
        + "\n\n`stgraph COMMAND --help` lists the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stgraph {stgraph.__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the command")
    given = parser.parse_args(arguments)
    sys.path.append(str(Path.cwd()))  # where a user's own parts lie, as with `python -m`
    try:
        with handled():
            _find(given.command)(given.options)
    except Interrupted as stop:
        print(f"stgraph {given.command}: {stop}", file=sys.stderr)
        return int(stop.code or 0)
    except ValueError as error:
        if (told := _input_error(error)) is None:
            raise
        print(f"stgraph {given.command}: error: {told}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "stgraph":
            raise
        print(
            f"stgraph {given.command}: error: needs {error.name}; "
            "pip install 'stgraph-video[train,viz]'",
            file=sys.stderr,
        )
        return 2
    return 0


def _input_error(error: BaseException | None) -> ValueError | None:
    """Find the bad input behind an error; the parser wraps those of the parts it builds."""
    from stgraph.checks import InputError  # with torch, which the help does without

    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def _find(command: str) -> Callable[[Sequence[str]], object]:
    # Imported here: each needs extras, and the help of the others should not wait for them.
    if command == "demo":
        from stgraph.training import demo

        return lambda options: _call(demo.run, command, options)
    if command == "show":
        from stgraph.training import show

        return lambda options: _call(show.run, command, options)
    from stgraph.training.command import Command

    return lambda options: Command([command, *options])


def _call(function: Callable[..., object], command: str, options: Sequence[str]) -> object:
    """Call a function with options that its signature and docstring describe."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"stgraph {command}", description=COMMANDS[command])
    parser.add_function_arguments(function, as_group=False)
    return function(**parser.parse_args(options).as_dict())
