"""Functions as their sources describe them, imported when they are called.

A command's options are those of a function in :mod:`stgraph.applications`, which imports torch and
Lightning. To say what there is must not take as long, so signature and docstring are read from the
source, as :mod:`stgraph.commands.overview` reads those of a run.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Callable
from importlib import resources
from typing import Any

__all__ = ["described"]

_LIGHT = {"collections.abc", "pathlib", "typing"}
"""Where the types of options come from."""
_CALL = "options = locals()\nfrom stgraph.applications.{name} import run\nreturn run(**options)"


def described(name: str) -> Callable[..., Any]:
    """Return a function like ``run`` of an application, which imports the application in a call.

    Args:
        name: of the file in ``stgraph/applications``.
    """
    source = resources.files("stgraph").joinpath("applications", f"{name}.py").read_text("utf-8")
    tree = ast.parse(source)
    run = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run")
    run.body[1:] = ast.parse(_CALL.format(name=name)).body  # after the docstring
    kept = [node for node in tree.body if node is run or _is_light(node)]
    future = __future__.annotations.compiler_flag
    names: dict[str, Any] = {"__name__": f"stgraph.commands.{name}"}
    module = ast.fix_missing_locations(ast.Module(kept, []))
    exec(compile(module, f"{name}.py", "exec", flags=future), names)
    function: Callable[..., Any] = names["run"]
    return function


def _is_light(node: ast.stmt) -> bool:
    """Whether a statement brings a type, or a number that a default is called by."""
    if isinstance(node, ast.ImportFrom):
        return node.module in _LIGHT
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
