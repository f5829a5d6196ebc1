"""``stgraph export``: a trained model as a file that runs without this library."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import stgraph
from stgraph.applications.trained import Trained, trained
from stgraph.checks import InputError, choice, flag, integer
from stgraph.export import (
    Deployable,
    clip_program,
    difference,
    reopened,
    step_program,
    write_onnx,
    write_program,
)
from stgraph.writing import whole

__all__ = ["export_model", "run"]

LIMIT = 1e-3
"""What logits may differ by, of a file that is kept."""
GREY = "grey, (299 R + 587 G + 114 B) / 1000"


def run(
    ckpt: str,
    out: str,
    config: str | None = None,
    streaming: bool = False,
    piece: int = 1,
    frames: int | None = None,
    size: int | None = None,
) -> None:
    """Write a trained model into a file that runs without this library.

    Args:
        ckpt: checkpoint of the model, or the folder of its run.
        out: a file, ``.pt2`` for ``torch.export.load``, or ``.onnx`` for other runtimes.
        config: configuration of the model and its data; the one saved with the run when absent.
        streaming: a step of a causal model, which takes the next frames and a state.
        piece: frames of a step.
        frames: of a clip, in place of the run's.
        size: height and width of what the model sees, in place of the run's.

    Raises:
        InputError: when files are missing or do not fit, or the model cannot be written so.
    """
    kind = choice("suffix of out", Path(out).suffix.lower().removeprefix("."), ("pt2", "onnx"))
    if integer("piece", piece) != 1 and not flag("streaming", streaming):
        raise InputError("piece", "1, without --streaming", piece)
    if streaming and frames is not None:
        raise InputError("frames", "none, with --streaming (--piece says how many)", frames)
    if Path(out).is_dir() or any(one.is_file() for one in Path(out).parents):
        raise InputError("out", "a file in a folder", f"{out}, which is a folder or below a file")
    for package in ("onnx", "onnxscript", "onnxruntime") if kind == "onnx" else ():
        import_module(package)
    one = trained(ckpt, config, frames, size)
    made, off = export_model(one, out, piece if streaming else None)
    sizes = ", ".join(map(str, made.shapes[0]))
    print(f"{made.types[0]} video [{sizes}] to logits", end="")
    print(f", with {len(made.inputs) - 1} tensors of state" if made.is_step else "")
    print(f"logits differ by at most {off:.1e} from the model's, on other clips")
    print(f"wrote {out}")


def export_model(
    one: Trained, out: str | Path, piece: int | None = None
) -> tuple[Deployable, float]:
    """Write a model's program, and compare what was written with the model.

    Args:
        one: the model, on the CPU.
        out: a ``.pt2`` or ``.onnx`` file, which appears when all is well.
        piece: frames of a step of a causal model; whole clips if None.

    Returns:
        The program, and the largest difference of its logits on other clips.

    Raises:
        InputError: on a model that cannot be followed, that is not causal where it is to go on from
            a state, or that ONNX has no operations for, or when logits differ.
    """
    kind = Path(out).suffix.lower().removeprefix(".")
    length, *of_frame = one.clip_size
    module = one.module
    if piece is None:
        made = clip_program(module.model, (length, *of_frame), module.scale)
    else:
        made = step_program(module.model, (piece, *of_frame), module.scale)
    with whole(out) as part:
        write = write_program if kind == "pt2" else write_onnx
        write(part, made, _about(one, piece))
        off = difference(reopened(part, kind), made)
        if not off <= LIMIT:
            raise InputError("model", f"logits of the file within {LIMIT:g}", f"{off:g} apart")
    return made, off


def _about(one: Trained, piece: int | None) -> dict[str, Any]:
    """What there is to know of a file."""
    return {
        "made_by": f"stgraph {stgraph.__version__}",
        "classes": list(one.label_names),
        "frames": "uint8, 0..255, as they are decoded: they are scaled inside",
        "colours": GREY if one.channels == 1 else "red, green, blue",
        "clips": str(one.rule),
        "streaming": piece is not None,
    }
