"""Models that start from weights of others or from other draws, as a configuration names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from stgraph.backbones import inflate
from stgraph.checks import InputError, choice
from stgraph.classifiers import CNNClassifier
from stgraph.initialise import STARTS
from stgraph.insertion import remove
from stgraph.model import GraphBlock
from stgraph.weights import imagenet_weights, load_imagenet, load_official

__all__ = ["from_imagenet", "from_official", "initialised", "opened"]


def from_imagenet(
    model: nn.Module, name: str = "resnet50", path: str | Path | None = None
) -> nn.Module:
    """Let the CNN of a model start from weights trained on ImageNet.

    Graphs and a classifier of other classes stay as they are; the weights of images are inflated
    for a CNN of clips. In a configuration::

        class_path: stgraph.training.from_imagenet
        init_args:
          model: {class_path: stgraph.recipes.dyreg_tsm_resnet50}

    Args:
        model: a classifier around a residual network.
        name: the network, see :func:`~stgraph.weights.imagenet_weights`.
        path: a file of its weights; by default they are fetched once into the cache.

    Returns:
        The model. What was loaded is told.

    Raises:
        InputError: when the file is none of that network, or does not fit the model.
    """
    state = imagenet_weights(name, path)
    net = model.net if isinstance(model, CNNClassifier) else model
    if isinstance(model, CNNClassifier) and model.net.is_3d:
        state = inflate(state, remove(model.net))
    rank_zero_info(f"weights of {name}: {load_imagenet(net, state)}")
    return model


def from_official(model: nn.Module, source: str | Path) -> nn.Module:
    """Let a model start from a file of the official DyReG or TSM code, as far as it fits.

    Args:
        model: a classifier around a residual network, with or without graphs.
        source: the file, see :func:`~stgraph.weights.load_official`.

    Returns:
        The model. What was loaded is told.

    Raises:
        InputError: when the file is no such file, or does not fit the model.
    """
    rank_zero_info(f"{source}: {load_official(model, Path(source))}")
    return model


def initialised(model: nn.Module, how: str) -> nn.Module:
    """Let a model start from weights that are all drawn in one way.

    In a configuration::

        class_path: stgraph.training.initialised
        init_args:
          model: {class_path: stgraph.recipes.rstg_sync_mnist}
          how: glorot

    Args:
        model: any module.
        how: ``"glorot"``, ``"he"`` or ``"pytorch"``, see :mod:`stgraph.initialise`.

    Returns:
        The model.

    Raises:
        InputError: on another name.
    """
    STARTS[choice("how", how, STARTS)](model)
    return model


def opened(model: nn.Module, scale: float = 1.0) -> nn.Module:
    """Let the graph blocks in a CNN begin with their residuals at a scale, not at 0.

    At 0, as in the papers, a block is an identity, which leaves a trained CNN as it was; and
    nothing in the block but its last norm learns in the very first step. In a configuration::

        class_path: stgraph.training.opened
        init_args:
          model: {class_path: stgraph.recipes.dyreg_multi_sync_mnist}

    Args:
        model: with one or more :class:`~stgraph.model.GraphBlock`.
        scale: γ of the last norm of each block.

    Returns:
        The model.

    Raises:
        InputError: when it has no such block.
    """
    blocks = [part for part in model.modules() if isinstance(part, GraphBlock)]
    if not blocks:
        raise InputError("model", "one with graph blocks", type(model).__name__)
    for block in blocks:
        weight: Any = block.norm.weight
        nn.init.constant_(weight, scale)
    return model
