"""CNNs that give the feature maps, blocks without graphs that go into them, and their weights."""

from stgraph.backbones.imagenet import imagenet_weights, load_imagenet
from stgraph.backbones.inflate import inflate
from stgraph.backbones.non_local import NonLocalBlock, NonLocalOutput
from stgraph.backbones.norm import FixedStatsBatchNorm3d
from stgraph.backbones.recurrent import RecurrentClassifier, conv_lstm, mean_lstm
from stgraph.backbones.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
)
from stgraph.backbones.resnet3d import (
    Bottleneck3d,
    ResNet3d,
    Stage,
    c2d_resnet50,
    i3d_resnet50,
    small_i3d,
)
from stgraph.backbones.shift import ShiftOutput, TemporalShift, shifted_places
from stgraph.backbones.small import ConvStack, TinyCNN

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "Bottleneck3d",
    "ConvStack",
    "FixedStatsBatchNorm3d",
    "NonLocalBlock",
    "NonLocalOutput",
    "RecurrentClassifier",
    "ResNet",
    "ResNet3d",
    "ShiftOutput",
    "Stage",
    "TemporalShift",
    "TinyCNN",
    "c2d_resnet50",
    "conv_lstm",
    "i3d_resnet50",
    "imagenet_weights",
    "inflate",
    "load_imagenet",
    "mean_lstm",
    "resnet18",
    "resnet34",
    "resnet50",
    "shifted_places",
    "small_i3d",
]
