"""Files of programs, and what they compute, compared with the model that they were made of."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgraph.checks import InputError
from stgraph.export.programs import Deployable

__all__ = ["ABOUT", "difference", "reopened", "write_onnx", "write_program"]

ABOUT = "stgraph.json"
"""What a ``.pt2`` file calls the words beside its program; an ONNX file has them as ``stgraph``."""

Run = Callable[..., Sequence[Tensor]]


def write_program(path: str | Path, made: Deployable, about: Mapping[str, Any]) -> None:
    """Write a ``.pt2`` file, for ``torch.export.load``.

    Args:
        path: where to.
        made: the program.
        about: what else there is to know, of words, numbers and lists.
    """
    with Path(path).open("wb") as file:
        torch.export.save(made.program, file, extra_files={ABOUT: _described(made, about)})


def write_onnx(path: str | Path, made: Deployable, about: Mapping[str, Any]) -> None:
    """Write an ONNX file, with its weights inside.

    Args:
        path: where to.
        made: the program.
        about: what else there is to know, of words, numbers and lists.

    Raises:
        ModuleNotFoundError: without ``onnx`` and ``onnxscript``.
        InputError: on a program with operations that ONNX does not have.
    """
    from stgraph.export.onnx_operations import additional

    try:
        with _quiet():
            program: Any = torch.onnx.export(
                made.program,
                dynamo=True,
                input_names=list(made.inputs),
                output_names=list(made.outputs),
                custom_translation_table=additional(),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        told = next((line for line in reversed(str(error).splitlines()) if "No ONNX" in line), "")
        expected = "a model of operations that ONNX has (write a .pt2 file instead)"
        raise InputError("model", expected, told or str(error)) from error
    program.model.metadata_props["stgraph"] = _described(made, about)
    program.save(str(path), external_data=False)


def reopened(path: str | Path, kind: str) -> Run:
    """What a file computes: a function from the inputs of the program to its outputs.

    Args:
        path: the file.
        kind: ``"pt2"`` or ``"onnx"``.
    """
    if kind == "pt2":
        with Path(path).open("rb") as file:
            run = torch.export.load(file).module()
        return lambda *inputs: _several(run(*inputs))
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def answer(*inputs: Tensor) -> list[Tensor]:
        told = dict(zip(names, (each.numpy() for each in inputs), strict=True))
        return [torch.from_numpy(each) for each in session.run(None, told)]

    return answer


@torch.no_grad()
def difference(run: Run, made: Deployable, calls: int = 3) -> float:
    """The largest difference of logits from those of the model, on inputs of other sizes.

    One clip and three clips of noise, other than what the program was made with; with a state,
    frames one after another, from zeros here and from no state there.

    Args:
        run: what :func:`reopened` returned.
        made: the program.
        calls: how many there are of a stream.
    """
    most = 0.0
    for clips in (1, 3):
        videos = [made.video(clips, 100 + call) for call in range(calls if made.is_step else 1)]
        state = made.start(clips)
        for video, expected in zip(videos, made.expected(videos), strict=True):
            found, *state = run(video, *state)
            off = (found - expected).abs().max()
            most = max(most, float(off) if bool(found.isfinite().all()) else float("inf"))
    return most


def _several(made: Any) -> Sequence[Tensor]:
    return (made,) if isinstance(made, Tensor) else made


def _described(made: Deployable, about: Mapping[str, Any]) -> str:
    inputs = [
        {"name": name, "type": kind, "shape": list(shape)}
        for name, kind, shape in zip(made.inputs, made.types, made.shapes, strict=True)
    ]
    return json.dumps({**about, "inputs": inputs, "outputs": list(made.outputs)}, indent=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that nothing here uses."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
