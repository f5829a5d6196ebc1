"""What a fit says of itself."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from stgraph.training.callbacks.progress import Bar, Size


@pytest.mark.parametrize(
    ("frozen", "told"),
    [(False, "Linear: 1,200 parameters"), (True, "Linear: 1,200 parameters, 200 of them frozen")],
)
def test_the_size_of_a_model_is_told_and_how_much_of_it_is_frozen(
    frozen: bool, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch")
    model = nn.Linear(5, 200)
    model.bias.requires_grad_(not frozen)
    module: Any = SimpleNamespace(model=model)
    Size().on_fit_start(None, module)  # type: ignore[arg-type]
    assert caplog.messages == [told]


def test_the_bar_leaves_out_the_number_of_the_folder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"v_num": 3, "train/top1": 0.5}
    monkeypatch.setattr(
        "lightning.pytorch.callbacks.RichProgressBar.get_metrics", lambda *_: dict(values)
    )
    assert Bar().get_metrics(None, None) == {"train/top1": 0.5}  # type: ignore[arg-type]
