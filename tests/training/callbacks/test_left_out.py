"""What decodes the videos of a run is written down, and told where it was another."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.datasets.clips import LeftOut
from stgraph.training.callbacks.left_out import Decoded, LeftOutClips


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


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([3], "test: 1 clip left out (c3), see"),
        ([9, 3], "test: 2 clips left out (c3, c9), see"),
        ([4, 1, 3, 2, 0, 4], "test: 5 clips left out (c0, c1, c2, c3, c4), see"),
        (range(7), "test: 7 clips left out (c0, c1, c2, c3, c4 and 2 more), see"),
        ([], ""),
    ],
)
def test_clips_that_were_left_out_are_counted_once_and_the_first_are_named(
    numbers: Sequence[int], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch")
    loader = SimpleNamespace(left_out=[LeftOut(number, f"c{number}", "why") for number in numbers])
    callback, one = LeftOutClips(tmp_path), SimpleNamespace(dataset=None)
    seen = trainer("test", None, test_dataloaders=[one, loader], current_epoch=4)
    callback.on_test_epoch_end(seen, None)  # type: ignore[arg-type]
    assert told in caplog.text
    assert bool(caplog.text) is bool(told)
    assert (tmp_path / "left_out.csv").exists() is bool(told)
    if told:
        rows = (tmp_path / "left_out.csv").read_text("utf-8").splitlines()[1:]
        assert rows == [f"test,,{number},c{number},why" for number in sorted(set(numbers))]


def test_what_a_trial_or_another_process_leaves_out_is_not_listed(tmp_path: Path) -> None:
    loader = SimpleNamespace(left_out=[LeftOut(3, "a", "why")])
    for changes in ({"fast_dev_run": 1}, {"is_global_zero": False}):
        seen = trainer("test", None, test_dataloaders=loader, current_epoch=0, **changes)
        LeftOutClips(tmp_path).on_test_epoch_end(seen, None)  # type: ignore[arg-type]
    first = trainer("fit", None, val_dataloaders=loader, current_epoch=0, sanity_checking=True)
    LeftOutClips(tmp_path).on_validation_epoch_end(first, None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
