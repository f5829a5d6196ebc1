"""Weights of the official DyReG and TSM code, in blocks and whole models of this library.

The official code keeps its options on the command line, not in its weights; what a model is made of
is read here off the names and shapes of its parameters. Nothing of that code is needed, and nothing
in a file of weights is run.
"""

from stgraph.weights.dyreg.block import block_from_official
from stgraph.weights.dyreg.whole import OfficialModel, load_official, model_from_official

__all__ = ["OfficialModel", "block_from_official", "load_official", "model_from_official"]
