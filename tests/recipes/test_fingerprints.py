"""Every recipe computes what it did: with its defaults, on made-up weights and a made-up video.

Sizes, defaults and the weights at the start are numbers of recipes that no law gives; a change of
one shows here. Where it was meant, ``python tests/recipes/test_fingerprints.py`` writes the file of
them anew.
"""

from __future__ import annotations

import json
from collections import Counter
from inspect import Parameter, signature
from pathlib import Path

import pytest
import torch
from large import LARGE
from torch import Tensor, nn

from stgraph import recipes

FILE = Path(__file__).with_name("fingerprints.json")
SIZES = {
    "c2d": (8, 3, 64, 64),
    "c2d_official": (8, 3, 224, 224),
    "conv_lstm": (3, 1, 64, 64),
    "dyreg_multi_sync_mnist": (3, 1, 128, 128),
    "dyreg_small": (3, 1, 64, 64),
    "dyreg_tsm_resnet18": (3, 3, 96, 96),
    "dyreg_tsm_resnet50": (2, 3, 160, 160),
    "frames_small": (3, 1, 48, 48),
    "i3d": (8, 3, 64, 64),
    "i3d_official": (8, 3, 224, 224),
    "i3d_sync_mnist": (8, 1, 64, 64),
    "mean_lstm": (3, 1, 64, 64),
    "motion_classes": (3, 1, 64, 64),
    "motion_small": (3, 1, 64, 64),
    "motion_subsets": (3, 1, 64, 64),
    "non_local_i3d": (8, 3, 64, 64),
    "non_local_official": (8, 3, 224, 224),
    "non_local_sync_mnist": (8, 1, 64, 64),
    "residual_small": (3, 1, 48, 48),
    "resnet18_multi_sync_mnist": (2, 1, 64, 64),
    "rstg_sync_mnist": (3, 1, 64, 64),
    "rstg_sync_mnist_official": (3, 1, 64, 64),
    "rstg_to_map": (8, 3, 64, 64),
    "rstg_to_map_official": (8, 3, 224, 224),
    "rstg_to_vec": (8, 3, 64, 64),
    "rstg_to_vec_official": (8, 3, 224, 224),
    "rstg_to_vec_serial_official": (8, 3, 224, 224),
    "small_video": (3, 3, 48, 48),
    "tsm_resnet50": (2, 3, 64, 64),
}
"""(T, c, H, W) of the video that each recipe of a whole model sees."""


def spread(count: int, start: int) -> Tensor:
    """Numbers between -1/2 and 1/2, evenly spread and in no order."""
    return (torch.arange(count, dtype=torch.float64) * 0.6180339887 + 0.37 * start) % 1 - 0.5


@torch.no_grad()
def filled(model: nn.Module) -> nn.Module:
    """Put the same weights into a model on every machine, of its own order of magnitude."""
    for number, weight in enumerate(model.double().eval().parameters()):
        noise = spread(weight.numel(), number).view_as(weight)
        if weight.dim() > 1:
            weight.copy_(noise * (24 / weight[0].numel()) ** 0.5)
        else:
            weight.add_(noise)  # scales stay about 1, shifts and gates leave 0
    return model


def constants(model: nn.Module) -> dict[str, int]:
    """What norms and dropouts are told, and how many, of which an answer does not show all."""
    told = Counter(
        f"{type(module).__name__} {name} {getattr(module, name)}"
        for module in model.modules()
        for name in ("eps", "momentum", "p")
        if hasattr(module, name)
    )
    return dict(sorted(told.items()))


@torch.no_grad()
def fingerprint(name: str) -> dict[str, object]:
    """How large a recipe's weights start; the logits of others: number, first ones, mean square.

    And the constants of its modules.
    """
    torch.manual_seed(0)
    recipe, size = getattr(recipes, name), SIZES[name]
    wanted = signature(recipe).parameters["num_classes"].default is Parameter.empty
    model = recipe(5) if wanted else recipe()
    start = sum(weight.double().square().sum() for weight in model.parameters())
    video = 2 * spread(torch.Size(size).numel(), 0).view(1, *size)
    (logits,) = filled(model)(video).logits
    start, power, *few = (
        float(f"{value:.9g}") for value in (start, logits.square().mean(), *logits[:3])
    )
    known = {"start": start, "classes": len(logits), "first": few, "power": power}
    return known | {"constants": constants(model)}


def test_no_recipe_of_a_whole_model_is_left_out() -> None:
    parts = {name for name in recipes.__all__ if name.endswith(("_block", "_regions", "_grid"))}
    parts |= {"rstg_block_official", "rstg_stage_official", "small_followers"}
    assert set(recipes.__all__) == parts | set(SIZES)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in SIZES]
)
def test_a_recipe_computes_what_it_did(name: str) -> None:
    expected = json.loads(FILE.read_text("utf-8"))[name]
    found = fingerprint(name)
    assert found["classes"] == expected["classes"]
    assert found["first"] == pytest.approx(expected["first"], rel=1e-6, abs=1e-9)
    assert found["start"] == pytest.approx(expected["start"], rel=1e-5)
    assert found["power"] == pytest.approx(expected["power"], rel=1e-6)
    assert found["constants"] == expected["constants"]


if __name__ == "__main__":
    written = {name: fingerprint(name) for name in SIZES}
    FILE.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
