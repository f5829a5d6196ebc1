"""``stgraph show``: a page of the regions and the attention that a trained model has on clips."""

from stgraph.commands.described import described

__all__ = ["show"]

show = described("show")
