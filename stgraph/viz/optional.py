"""Drawing needs packages that the library itself does not: they are asked for when first used."""

from __future__ import annotations

from importlib import import_module

__all__ = ["need"]


def need(*modules: str) -> None:
    """Import the modules, or say how to install them.

    Args:
        modules: names such as ``"PIL.Image"``.

    Raises:
        ImportError: when one is absent, with the command that installs it.

    Examples:
        >>> need("no_such_module")
        Traceback (most recent call last):
        ModuleNotFoundError: no_such_module is needed here: pip install "stgraph-video[viz]"
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            package = module.partition(".")[0]
            told = f'{package} is needed here: pip install "stgraph-video[viz]"'
            raise type(error)(told, name=package) from error
