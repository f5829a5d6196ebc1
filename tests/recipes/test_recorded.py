from __future__ import annotations

import copy
import pickle

import numpy as np
import torch

from stgraph import backbones, recipes
from stgraph.backbones import c2d_resnet50, resnet50
from stgraph.edges import FullEdges, GridEdges
from stgraph.nodes import GridNodes, grid_anchors
from stgraph.recipes.recorded import Part, Recipe, Unwritten, recipe


def test_all_arguments_are_noted_as_plain_values():
    model = recipes.rstg_sync_mnist(np.int64(7), channels=8, scales=[2, 1])
    assert model.recipe == Recipe(
        "rstg_sync_mnist",
        {
            "num_classes": 7,
            "in_channels": 1,
            "channels": 8,
            "scales": (2, 1),
            "schedule": ("norm", "time", "space", "time", "space", "time", "space", "last"),
            "positional": True,
            "edges": None,
        },
    )
    assert type(model.recipe.arguments["num_classes"]) is int


def test_recipes_and_functions_are_noted_and_what_is_ones_own_is_not():
    regions = recipes.dyreg_regions(8, 4, anchors=grid_anchors)
    assert regions.recipe.arguments["anchors"] is grid_anchors
    with torch.device("meta"):
        noted = recipes.dyreg_multi_sync_mnist(nodes=recipes.dyreg_regions()).recipe
        assert isinstance(noted.arguments["nodes"], Recipe)
        noted = recipes.rstg_to_map(cnn=c2d_resnet50, width=8).recipe
        assert noted.arguments["cnn"] is c2d_resnet50
    own = GridNodes(32, (2,))
    noted = recipes.dyreg_small(nodes=own).recipe
    assert noted.arguments["nodes"] == Unwritten("stgraph.nodes.grid.GridNodes")
    assert not any(value is own for value in noted.arguments.values())


def test_values_that_json_has_not_are_not_written():
    @recipe
    def mine(**options: object) -> torch.nn.Module:
        return torch.nn.Identity()

    noted = mine(a={"b": (1, None)}, c={"$d": 1}, e=float("nan"), f=resnet50, g={1: 2}).recipe
    assert noted.name == "mine"
    assert noted.arguments["options"] == {
        "a": {"b": (1, None)},
        "c": Unwritten("builtins.dict"),
        "e": Unwritten("builtins.float"),
        "f": Unwritten("stgraph.backbones.resnet.resnet50"),
        "g": Unwritten("builtins.dict"),
    }


def test_a_note_is_no_part_of_the_model():
    model = recipes.dyreg_small(3)
    assert "recipe" not in "".join(model.state_dict())
    assert copy.deepcopy(model).recipe == model.recipe
    assert pickle.loads(pickle.dumps(model)).recipe == model.recipe


def test_every_recipe_notes_what_it_was_called_with():
    for name in recipes.__all__:
        assert hasattr(getattr(recipes, name), "__wrapped__"), name
    assert recipes.mean_lstm.__wrapped__ is backbones.mean_lstm


def test_a_part_of_ones_own_is_not_taken_for_the_librarys():
    """Though it is made of one, and has its options."""

    class Mine(GridEdges):
        pass

    for edges, noted in [(GridEdges((2, 1)), Part), (FullEdges(), Part), (Mine((2, 1)), Unwritten)]:
        model = recipes.rstg_sync_mnist(channels=4, scales=(2, 1), edges=edges)
        assert type(model.recipe.arguments["edges"]) is noted
    assert model.recipe.arguments["edges"].what.endswith("Mine")
