"""``stgraph export``: a trained model as a file that runs without this library."""

from stgraph.commands.described import described

__all__ = ["export"]

export = described("export")
