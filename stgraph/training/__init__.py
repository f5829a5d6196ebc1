"""Training on Lightning: module, data, schedules and checkpoints (needs the extra ``train``)."""

from stgraph.training.checkpoints import load_weights
from stgraph.training.data import ClipData
from stgraph.training.module import ClassificationModule
from stgraph.training.node_classes import NodeClasses
from stgraph.training.scaling import signed
from stgraph.training.schedules import Constant, Milestones, Plateau, Schedule, WarmupCosine

__all__ = [
    "ClassificationModule",
    "ClipData",
    "Constant",
    "Milestones",
    "NodeClasses",
    "Plateau",
    "Schedule",
    "WarmupCosine",
    "load_weights",
    "signed",
]
