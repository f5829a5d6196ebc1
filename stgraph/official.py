"""Former name of a part of :mod:`stgraph.weights`, kept for imports that are out there."""

from stgraph.weights import OfficialModel, block_from_official, load_official, model_from_official

__all__ = ["OfficialModel", "block_from_official", "load_official", "model_from_official"]
