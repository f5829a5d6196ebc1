"""Weights in and out: by name, ImageNet, official DyReG, TSM and RSTG, and folders of our own.

Nothing in a file of weights is ever run, and every name of it is accounted for.
"""

from stgraph.weights.by_name import Loaded, load_by_name
from stgraph.weights.dyreg import (
    OfficialModel,
    block_from_official,
    load_official,
    model_from_official,
)
from stgraph.weights.imagenet import imagenet_weights, load_imagenet
from stgraph.weights.pretrained import from_pretrained, save_pretrained
from stgraph.weights.rstg import (
    OfficialGraph,
    OfficialRSTG,
    rstg_from_official,
    rstg_graph_from_official,
    rstg_to_official,
)

__all__ = [
    "Loaded",
    "OfficialGraph",
    "OfficialModel",
    "OfficialRSTG",
    "block_from_official",
    "from_pretrained",
    "imagenet_weights",
    "load_by_name",
    "load_imagenet",
    "load_official",
    "model_from_official",
    "rstg_from_official",
    "rstg_graph_from_official",
    "rstg_to_official",
    "save_pretrained",
]
