"""What decodes the videos of a run is written down, and told where it was another."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.training.callbacks.left_out import Decoded


def trainer(command: str, decoder: dict[str, str] | None, **changes: Any) -> Any:
    """One whose clips of the command alone are decoded."""
    plain = SimpleNamespace(dataset=SimpleNamespace())
    loaders: dict[str, Any] = dict.fromkeys(LOADERS.values(), plain)
    if decoder is not None:
        loader = SimpleNamespace(dataset=SimpleNamespace(decoder=decoder))
        loaders[LOADERS[command]] = [plain, loader] if command == "predict" else loader
    state = SimpleNamespace(fn=command)
    return SimpleNamespace(**{"is_global_zero": True, "state": state, **loaders, **changes})


LOADERS = {
    "fit": "train_dataloader",
    "validate": "val_dataloaders",
    "test": "test_dataloaders",
    "predict": "predict_dataloaders",
}
STARTS = {
    "validate": "on_validation_start",
    "test": "on_test_start",
    "predict": "on_predict_start",
}
ONE, OTHER = {"name": "av", "version": "1"}, {"name": "av", "version": "2"}


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_another_decoder_than_in_training_is_told(
    command: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch")
    Decoded(tmp_path).on_train_start(trainer("fit", dict(ONE)), None)  # type: ignore[arg-type]
    for decoder in (ONE, OTHER):
        caplog.clear()
        start = getattr(Decoded(tmp_path), STARTS[command])
        start(trainer(command, dict(decoder)), None)
        assert ("decodes by" in caplog.text) == (decoder is OTHER)
        noted = json.loads((tmp_path / "decoder.json").read_text("utf-8"))
        assert noted == {"fit": ONE, command: decoder}


def test_what_is_not_decoded_or_not_of_the_command_is_not_written_down(tmp_path: Path) -> None:
    callback: Any = Decoded(tmp_path)
    decoded = SimpleNamespace(dataset=SimpleNamespace(decoder=ONE))
    callback.on_train_start(trainer("fit", None), None)
    callback.on_validation_start(trainer("fit", None, val_dataloaders=decoded), None)
    callback.on_test_start(trainer("test", ONE, is_global_zero=False), None)
    callback.on_test_start(trainer("test", ONE, fast_dev_run=1), None)
    assert not list(tmp_path.iterdir())
