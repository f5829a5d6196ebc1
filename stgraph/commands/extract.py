"""``stgraph extract``: a data set of graphs from what a trained model makes of clips."""

from stgraph.commands.described import described

__all__ = ["extract"]

extract = described("extract")
