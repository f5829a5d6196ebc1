"""A recipe is noted for the very model that it makes, and for no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from stgraph import recipes
from stgraph.edges import FullEdges
from stgraph.schedules import all_temp_official
from stgraph.weights.twins import note_twin

SMALL = {"num_classes": 5, "channels": 4}


def bare(**options: Any) -> nn.Module:
    """A model without its note."""
    model = recipes.rstg_sync_mnist_official(**SMALL, **options)
    del model.recipe
    return model


def test_a_model_that_the_recipe_makes_is_noted() -> None:
    model = bare()
    assert note_twin(model, recipes.rstg_sync_mnist_official, SMALL)
    assert model.recipe.name == "rstg_sync_mnist_official"
    assert model.recipe.arguments["channels"] == 4
    assert not any(value.is_meta for value in model.state_dict().values())


@pytest.mark.parametrize(
    "options",
    [
        {"edges": FullEdges(loops=False)},
        {"schedule": all_temp_official(2, before=("norm",))},
        {"schedule": all_temp_official(4, before=("norm",))},
    ],
    ids=["edges", "fewer rounds", "more rounds"],
)
def test_a_model_that_differs_without_a_trace_in_its_weights_is_not_noted(
    options: dict[str, Any],
) -> None:
    model, other = bare(**options), bare()
    assert [(name, value.shape) for name, value in model.state_dict().items()] == [
        (name, value.shape) for name, value in other.state_dict().items()
    ]
    assert not note_twin(model, recipes.rstg_sync_mnist_official, SMALL)
    assert not hasattr(model, "recipe")


@pytest.mark.parametrize("size", [4, 6])
def test_a_model_with_weights_of_another_size_is_not_noted(size: int) -> None:
    """Though it prints as the recipe's does, whose classifier has five biases."""
    model = bare()
    model.classifier.bias = nn.Parameter(torch.zeros(size))
    assert not note_twin(model, recipes.rstg_sync_mnist_official, SMALL)
