"""``stgraph study``: a table of rows and seeds, each an ordinary run."""

from stgraph.commands.described import described

__all__ = ["study"]

study = described("study")
