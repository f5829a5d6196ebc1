"""Space-time graphs from CNN video features, as PyTorch Geometric batches."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgraph.insertion import insert, remove
    from stgraph.model import GraphBlock, GraphStage, SpaceTimeGraph

__all__ = ["GraphBlock", "GraphStage", "SpaceTimeGraph", "__version__", "insert", "remove"]

__version__ = "0.1.0"

_HOMES = {
    "GraphBlock": "model",
    "GraphStage": "model",
    "SpaceTimeGraph": "model",
    "insert": "insertion",
    "remove": "insertion",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command's help should not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
