"""Whether a recipe makes the very model that is there, without taking memory for another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.recipes.recorded import Recipe

__all__ = ["note_twin"]


def note_twin(model: nn.Module, make: Callable[..., nn.Module], options: Mapping[str, Any]) -> bool:
    """Note a recipe as the model's, if it makes one that is the same in all that can be seen.

    Args:
        model: what official weights were converted into.
        make: a recipe.
        options: what it would be called with.

    Returns:
        Whether it is: alike as printed, with weights of the same names and shapes.
    """
    try:
        with torch.device("meta"):
            twin = make(**options)
    except InputError:  # of places, widths or sizes that the recipe's model does not have
        return False
    mine, theirs = (
        [(name, value.shape) for name, value in each.state_dict().items()] for each in (model, twin)
    )
    if repr(twin) != repr(model) or mine != theirs:
        return False
    model.recipe = cast(Any, cast(Recipe, twin.recipe))
    return True
