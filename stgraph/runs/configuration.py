"""Configurations of the command line: parsed within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace, get_loader, set_loader, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from stgraph.datasets import Digits
from stgraph.datasets.videos import ColourChange, Crops, Flips, FrameSampler, TrainCrops
from stgraph.reading import check_yaml, read_text

__all__ = ["Parser", "bounded_yaml", "parts_by_name"]


def parts_by_name() -> None:
    """Let parts that are dataclasses be named too, by their own classes or those of others.

    A dataclass otherwise comes from its own fields only, never from ``stgraph.datasets.mnist``.
    """
    known: list[type | str] = [ColourChange, Crops, Digits, Flips, FrameSampler, TrainCrops]
    set_parsing_settings(subclasses_enabled=known)


class Parser(LightningArgumentParser):
    """A parser whose configurations are text of bounded length."""

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration; a pipe, which can be read but once, is left to the parser."""
        if Path(path).is_file():
            read_text(path, "a configuration", "config")
        parsed: Namespace = super().parse_path(path, *args, **kwargs)
        return parsed


@contextmanager
def bounded_yaml() -> Iterator[None]:
    """Check all YAML, of files and of single values, before the parser loads it."""
    load = get_loader("yaml")

    def bounded(text: str) -> Any:
        check_yaml(text)
        return load(text)

    set_loader("yaml", bounded, (yaml.YAMLError,))
    try:
        yield
    finally:
        set_loader("yaml", load, (yaml.YAMLError,))
