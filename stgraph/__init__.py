"""Space-time graphs from CNN video features, as PyTorch Geometric batches."""

from stgraph.model import GraphBlock, SpaceTimeGraph

__all__ = ["GraphBlock", "SpaceTimeGraph", "__version__"]

__version__ = "0.1.0"
