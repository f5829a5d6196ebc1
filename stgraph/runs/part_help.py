"""``--model.model.help NAME`` and its like: the options of a part, class or function."""

from __future__ import annotations

import collections.abc
import inspect
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer

from stgraph.checks import InputError
from stgraph.runs.command import Command
from stgraph.training.module import ClassificationModule

__all__ = ["part_help"]

_CLASSES = 12  # names of subclasses that an option's help lists
_ROOTS = {"model": ClassificationModule, "trainer": Trainer}


class _Question(NamedTuple):
    option: str  # --model.model.help
    path: list[str]  # ["model", "model"]
    name: str | None  # of the part, where one is given
    rest: list[str]  # the other options


def part_help(command: str, options: Sequence[str]) -> str | None:
    """Answer the first ``--PART.help [NAME]`` among the options of a run.

    The parser's own answer knows classes alone; here functions that return a part have options
    too, and so have parts of parts (``--model.model.init_args.nodes.help``).

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: as on the command line. Without a name the part is the one that they configure.

    Returns:
        The help, or ``None`` where none is asked for.

    Raises:
        InputError: when there is no such option, or no such part, or it does not fit there.
    """
    question = _question(options)
    if question is None or "." not in (question.name or "."):  # short names are the parser's
        return None
    configured = _Configured(command, question.rest)
    part = _part(question, configured)
    hint = _hint(question, configured)
    if hint is not None and question.name is not None:
        _check_fits(question, part, hint)
    key = ".".join(question.path)
    title = f"--{key} {question.name or _path(part)}"
    passed = _arguments_passed(hint, part)
    if passed is None:
        return f"{title}\n\n{_first_sentence(part)}\nIt is passed as it stands, without options."
    parser = ArgumentParser(prog=f"stgraph {command}", description=title, add_help=False)
    add = parser.add_class_arguments if inspect.isclass(part) else parser.add_function_arguments
    add(part, key, fail_untyped=False, skip=set(list(inspect.signature(part).parameters)[:passed]))
    text = re.sub(r"^usage:.*?\n\n", "", parser.format_help(), flags=re.DOTALL).rstrip()
    return re.sub(r",\s+known\s+subclasses:[^()]*(?=\))", _if_short, text)


def _if_short(names: re.Match[str]) -> str:
    """Leave a list of classes out that is longer than the rest: of all modules of torch, say."""
    return names[0] if names[0].count(",") <= _CLASSES else ""


def _question(options: Sequence[str]) -> _Question | None:
    for place, word in enumerate(options):
        if found := re.fullmatch(r"(--([\w.]+)\.help)(?:=(.*))?", word, re.DOTALL):
            option, key, name = found.groups()
            rest = [*options[:place], *options[place + 1 :]]
            if name is None and rest[place:] and not rest[place].startswith("-"):
                name = rest.pop(place)
            path = [step for step in key.split(".") if step != "init_args"]
            return _Question(option, path, name or None, rest)
    return None


class _Configured:
    """What the other options amount to, asked of the parser where it is needed."""

    def __init__(self, command: str, options: list[str]) -> None:
        self._arguments = [command, *options, "--print_config"]
        self._tree: Any = None

    def part(self, path: Sequence[str]) -> Any:
        """Return the class or function configured there, or none."""
        if len(path) == 1 and path[0] in _ROOTS:
            return _ROOTS[path[0]]
        node = self._read()
        for step in path:
            inside = node
            if isinstance(node, dict) and "class_path" in node:
                inside = node.get("init_args")
            if not isinstance(inside, dict) or step not in inside:
                return None
            node = inside[step]
        name = node.get("class_path") if isinstance(node, dict) else node
        try:
            return _import(name) if isinstance(name, str) else None
        except (AttributeError, ImportError, ValueError):  # a word that names nothing
            return None

    def _read(self) -> Any:
        if self._tree is None:
            printed = io.StringIO()
            with redirect_stdout(printed), suppress(SystemExit):  # which ends the printing
                Command(self._arguments)
            self._tree = yaml.safe_load(printed.getvalue())
        return self._tree


def _part(question: _Question, configured: _Configured) -> Any:
    if question.name is None:
        part = configured.part(question.path)
        if part is None:
            raise InputError(question.option, "the name of a class or function", "none")
        return part
    try:
        part = _import(question.name)
    except (AttributeError, ImportError, ValueError) as error:
        expected = "a class or function that can be imported, as module.name"
        raise InputError(question.option, expected, f"{question.name} ({error})") from error
    if not callable(part) or get_origin(part) is not None:
        raise InputError(question.option, "a class or function", type(part).__name__)
    return part


def _import(name: str) -> Any:
    """Import what a dotted name stands for, a static method of a class too."""
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError("no module is named")
    try:
        holder: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module or "." not in module:
            raise
        holder = _import(module)  # a class
    return getattr(holder, attribute)


def _hint(question: _Question, configured: _Configured) -> Any:
    """Return the type of an option, or none where it cannot be known."""
    if question.path == ["data"]:
        return import_module("lightning.pytorch").LightningDataModule
    parent = configured.part(question.path[:-1])
    if len(question.path) == 1 or parent is None:
        if question.path[0] not in {*_ROOTS, "data"}:
            raise InputError(question.option, "an option of a part", f"--{question.path[0]}")
        return None
    call: Any = parent.__init__ if inspect.isclass(parent) else parent
    parameters = inspect.signature(parent).parameters
    name = question.path[-1]
    if name not in parameters:
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return None
        told = f"{name}; it has {', '.join(parameters)}"
        raise InputError(question.option, f"an option of {_path(parent)}", told)
    return _hints(call).get(name)


def _check_fits(question: _Question, part: Any, hint: Any) -> None:
    """Check that a part is of an option's type, as far as types tell."""
    if _callable_types(hint) and (not inspect.isclass(part) or hasattr(part, "__call__")):  # noqa: B004
        return  # what is called may be anything that can be
    made = [part] if inspect.isclass(part) else _classes(_hints(part).get("return"))
    wanted = _classes(hint)
    if wanted and made and not any(issubclass(one, kind) for one in made for kind in wanted):
        names = " or ".join(sorted({one.__name__ for one in wanted}))
        raise InputError(question.option, f"a {names}, or a function that makes one", question.name)


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # of what only type checkers import
        return {}


def _classes(hint: Any) -> list[type]:
    """The classes in a type: of an option, a list or a callable's answer."""
    if kinds := _callable_types(hint):
        return [one for kind in kinds for one in _classes(get_args(kind)[-1])]
    if get_args(hint):
        return [one for inner in get_args(hint) for one in _classes(inner)]
    return [hint] if inspect.isclass(hint) and hint is not type(None) else []


def _callable_types(hint: Any) -> list[Any]:
    """What of a type, or of its alternatives, is ``Callable[[…], …]``."""
    return [k for k in (hint, *get_args(hint)) if get_origin(k) is collections.abc.Callable]


def _arguments_passed(hint: Any, part: Callable[..., Any]) -> int | None:
    """How many first arguments of a part are passed when it is called; none where all of it is."""
    kinds = _callable_types(hint)
    if kinds and not inspect.isclass(part):
        return None
    for given, answer in map(get_args, kinds):
        if any(issubclass(part, one) for one in _classes(answer)):  # type: ignore[arg-type]
            return len(given)
    return 0


def _path(part: Any) -> str:
    return f"{part.__module__}.{part.__qualname__}"


def _first_sentence(part: Any) -> str:
    return " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
