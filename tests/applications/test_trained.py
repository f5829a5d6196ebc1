"""What a trained model is loaded with."""

from __future__ import annotations

import torch

from stgraph.applications.trained import _changed, _channels
from stgraph.datasets.videos import Crops, EvenFrames, MultiScaleCrops, ProtocolClips, TrainClips


def test_a_rule_without_a_side_has_that_of_the_papers() -> None:
    """256 for crops of 224."""
    made = _changed(TrainClips(EvenFrames(3), MultiScaleCrops(112)), None, None)
    assert made == ProtocolClips(EvenFrames(3), Crops(1, 112, 128))


def test_a_model_without_convolutions_sees_colours() -> None:
    assert _channels(torch.nn.Linear(1, 1)) == 3
