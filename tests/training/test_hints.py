from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.training.hints import ask


class Sum(nn.Module):
    def forward(self, video, state=None, *, number=0):
        return video.sum() + number


class Wrong(nn.Module):
    def forward(self, video, state=None, **hints):
        raise TypeError("something else")


BATCH = {"count": torch.tensor(3.0)}


def test_a_hint_reaches_the_model_under_the_name_of_its_argument() -> None:
    assert ask(Sum(), torch.ones(2), BATCH, {"number": "count"}) == 5
    assert ask(Sum(), torch.ones(2), BATCH, {}) == 2


def test_what_the_model_or_the_batch_does_not_know_is_told() -> None:
    with pytest.raises(InputError, match=r"hints: expected what Sum takes, got \['boxes'\]"):
        ask(Sum(), torch.ones(2), BATCH, {"boxes": "count"})
    with pytest.raises(InputError, match=r"hints: expected fields of the clip batch.*\['box'\]"):
        ask(Sum(), torch.ones(2), BATCH, {"number": "box"})
    with pytest.raises(TypeError, match="something else"):
        ask(Wrong(), torch.ones(2), BATCH, {"number": "count"})


class Masked(nn.Module):
    def forward(self, video, state=None, frame_mask=None):
        return None if frame_mask is None else (video * frame_mask).sum()


def test_a_model_is_told_which_frames_exist() -> None:
    mask = torch.tensor([[True, False, True]])
    assert ask(Masked(), torch.ones(1, 3), {"frame_mask": mask}, {}) == 2
    assert ask(Masked(), torch.ones(1, 3), {}, {}) is None
    with pytest.raises(InputError, match=r"hints: expected what Sum takes, got \['frame_mask'\]"):
        ask(Sum(), torch.ones(1, 3), {"frame_mask": mask}, {})
