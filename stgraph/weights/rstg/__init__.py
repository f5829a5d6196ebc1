"""Weights of the official RSTG code, in graphs and whole models of this library, and back.

Of what a model is made, is read off the names and shapes of its variables; what leaves no trace in
them are arguments. Nothing of that code is needed, and nothing in a file of weights is run.
"""

from stgraph.weights.rstg.back import rstg_to_official
from stgraph.weights.rstg.single import OfficialGraph, rstg_graph_from_official
from stgraph.weights.rstg.whole import OfficialRSTG, rstg_from_official

__all__ = [
    "OfficialGraph",
    "OfficialRSTG",
    "rstg_from_official",
    "rstg_graph_from_official",
    "rstg_to_official",
]
