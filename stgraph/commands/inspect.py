"""``stgraph inspect``: what a folder, a list or a data set of videos holds, and its bad files."""

from stgraph.commands.described import described

__all__ = ["inspect"]

inspect = described("inspect")
