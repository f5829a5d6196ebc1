"""CNNs that give the feature maps."""

from stgraph.backbones.resnet import BasicBlock, resnet_stages
from stgraph.backbones.small import ConvStack, TinyCNN

__all__ = ["BasicBlock", "ConvStack", "TinyCNN", "resnet_stages"]
