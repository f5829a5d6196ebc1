"""Former name of a part of :mod:`stgraph.weights`, kept for imports that are out there."""

from stgraph.weights import from_pretrained, save_pretrained

__all__ = ["from_pretrained", "save_pretrained"]
