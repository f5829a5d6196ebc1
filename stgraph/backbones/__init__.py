"""CNNs that give the feature maps, and blocks without graphs that go into them."""

from stgraph.backbones.inflate import inflate
from stgraph.backbones.non_local import NonLocalBlock, NonLocalOutput
from stgraph.backbones.norm import FixedStatsBatchNorm3d
from stgraph.backbones.official import c2d_resnet50_official, i3d_resnet50_official
from stgraph.backbones.pooling import PairMax3d, WindowMean3d
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
    "PairMax3d",
    "RecurrentClassifier",
    "ResNet",
    "ResNet3d",
    "ShiftOutput",
    "Stage",
    "TemporalShift",
    "TinyCNN",
    "WindowMean3d",
    "c2d_resnet50",
    "c2d_resnet50_official",
    "conv_lstm",
    "i3d_resnet50",
    "i3d_resnet50_official",
    "inflate",
    "mean_lstm",
    "resnet18",
    "resnet34",
    "resnet50",
    "shifted_places",
    "small_i3d",
]
