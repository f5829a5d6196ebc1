"""Trained models as files that run without this library: ``torch.export`` programs and ONNX.

A program is made by running the model once and writing down what it does with tensors
(:mod:`stgraph.export.programs`), for any number of clips. A causal model also has a program of one
step, whose state goes in and comes out as tensors, zeros at first (:mod:`stgraph.export.states`).
Files hold a program and what there is to know of it, and what was written is compared with the
model (:mod:`stgraph.export.files`).
"""

from stgraph.export.files import difference, reopened, write_onnx, write_program
from stgraph.export.programs import Deployable, clip_program, step_program

__all__ = [
    "Deployable",
    "clip_program",
    "difference",
    "reopened",
    "step_program",
    "write_onnx",
    "write_program",
]
