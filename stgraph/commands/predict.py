"""``stgraph predict --video``: answers to video files and cameras, in place of a data module's."""

from stgraph.commands.described import described

__all__ = ["predict"]

predict = described("predict")
