"""``stgraph demo``: the demonstration on embedded digits."""

from stgraph.commands.described import described

__all__ = ["demo"]

demo = described("demo")
