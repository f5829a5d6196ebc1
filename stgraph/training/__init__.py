"""Training on Lightning: module, data, schedules and checkpoints (needs the extra ``train``)."""

from stgraph.training.auxiliary import Auxiliary
from stgraph.training.callbacks.memory_format import ChannelsLast
from stgraph.training.callbacks.shown_first import ShowFirst, TeachFirst
from stgraph.training.checkpoints import load_weights
from stgraph.training.data import ClipData
from stgraph.training.distill import KickStart
from stgraph.training.groups import Group, RegionGroups, TSMGroups, together
from stgraph.training.module import Asked, ClassificationModule
from stgraph.training.node_classes import NodeClasses
from stgraph.training.node_presence import NodePresence
from stgraph.training.oracle import Oracle2D
from stgraph.training.runs import model_of_run
from stgraph.training.scaling import Standardised, imagenet, kinetics, raw, signed
from stgraph.training.schedules import (
    Constant,
    EpochMilestones,
    Milestones,
    Plateau,
    Schedule,
    WarmupCosine,
)
from stgraph.training.starts import from_imagenet, from_official, initialised, opened

__all__ = [
    "Asked",
    "Auxiliary",
    "ChannelsLast",
    "ClassificationModule",
    "ClipData",
    "Constant",
    "EpochMilestones",
    "Group",
    "KickStart",
    "Milestones",
    "NodeClasses",
    "NodePresence",
    "Oracle2D",
    "Plateau",
    "RegionGroups",
    "Schedule",
    "ShowFirst",
    "Standardised",
    "TSMGroups",
    "TeachFirst",
    "WarmupCosine",
    "from_imagenet",
    "from_official",
    "imagenet",
    "initialised",
    "kinetics",
    "load_weights",
    "model_of_run",
    "opened",
    "raw",
    "signed",
    "together",
]
