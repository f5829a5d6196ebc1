"""Models of runs that are done."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

from stgraph.checks import InputError
from stgraph.reading import read_yaml, within_memory
from stgraph.training.checkpoints import check_keys, read

__all__ = ["model_of_run"]

_PREFIX = "model."


def model_of_run(folder: str | Path, checkpoint: str = "best") -> nn.Module:
    """Build the model of a run of ``stgraph fit`` or ``stgraph demo``, with the weights it learnt.

    The run's ``config.yaml`` says what the model is; the parts that it names must be importable,
    and are run. In another configuration it stands wherever a model does::

        class_path: stgraph.training.model_of_run
        init_args: {folder: runs/small}

    Args:
        folder: the run's, such as ``runs/small``; or the demonstration's, ``runs/demo``.
        checkpoint: ``best``, ``last``, or the path of another checkpoint of the run. Of the
            demonstration ``dynamic`` (which ``best`` is too) or ``fixed``.

    Returns:
        The model alone, on the CPU, without what joined its loss in training; as it is built, so
        in training mode.

    Raises:
        InputError: when configuration or checkpoint are missing or do not fit each other.
    """
    config, path = _files(Path(folder), checkpoint)
    if not config.is_file():
        raise InputError("folder", "that of a run, with its config.yaml", folder)
    expected = "a configuration of `stgraph fit`"
    try:
        described = read_yaml(config, expected)["model"]["model"]
    except (KeyError, TypeError) as error:
        raise InputError(str(config), expected, "another") from error
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=nn.Module)
    try:
        parsed = parser.parse_object({"model": described})
    except ArgumentError as error:
        reason = " ".join(str(error).split())
        raise InputError(str(config), "a model whose parts can be imported", reason) from error
    with within_memory("model"):
        model: nn.Module = parser.instantiate_classes(parsed).model
    state_dict = read(path)["state_dict"]
    own = {k.removeprefix(_PREFIX): v for k, v in state_dict.items() if k.startswith(_PREFIX)}
    check_keys(model, own)
    model.load_state_dict(own)
    return model


def _files(folder: Path, checkpoint: str) -> tuple[Path, Path]:
    """Configuration and checkpoint of a run, or of one of the models of a demonstration."""
    if checkpoint in ("best", "last"):
        beside = folder / "dynamic.yaml"
        if checkpoint == "best" and beside.is_file() and not (folder / "config.yaml").is_file():
            return beside, beside.with_suffix(".ckpt")
        return folder / "config.yaml", folder / "checkpoints" / f"{checkpoint}.ckpt"
    path = Path(checkpoint)
    named = folder / f"{checkpoint}.ckpt" if path.name == checkpoint else path
    if named.with_suffix(".yaml").is_file():
        return named.with_suffix(".yaml"), named
    return folder / "config.yaml", path
