"""The options of a run that people use, read from the sources, without importing them.

Importing torch and Lightning and asking them for their options takes ten seconds, and the answer
has 3,500 lines. This takes a tenth of a second; a test holds every option to the real parser.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from importlib import resources

__all__ = ["PURPOSES", "overview", "unmarked"]

PURPOSES = {
    "fit": "train a model: --config configs/NAME.yaml",
    "validate": "measure a model on the validation clips",
    "test": "measure a model on the test clips",
    "predict": "write a model's answer to each clip",
}
RUN = {
    "config": "a configuration, in YAML; later ones and options win over earlier ones",
    "run": "name of the run; its folder is runs/NAME",
    "runs": "folder of all runs",
    "ckpt_path": "weights or, to go on with a fit, its state: best, last, or a file",
    "seed_everything": "of every random number",
    "keep_minutes": "minutes of training between two checkpoints at most",
    "print_config": "print what all this amounts to, and stop",
}
VIDEOS = (
    "   or: stgraph predict --video PATH ... --ckpt FILE [--OPTION VALUE ...], for videos",
    "       (`stgraph predict --video --help` lists the options of that)",
)
DATA = "any Lightning data module; stgraph.training.ClipData, with the options below, when absent"
TRAINER = {
    "max_epochs": "passes over the training clips",
    "max_steps": "steps of the optimiser at most",
    "max_time": "of this session, DD:HH:MM:SS",
    "accelerator": "cpu, gpu or auto",
    "devices": "how many of them",
    "strategy": "how several train together, such as ddp",
    "precision": "such as bf16-mixed",
    "accumulate_grad_batches": "batches a step",
    "gradient_clip_val": "largest norm of the gradients",
    "check_val_every_n_epoch": "epochs between validations",
    "val_check_interval": "steps, or share of an epoch, between validations",
    "limit_train_batches": "batches, or share, of an epoch; likewise limit_val_batches, …",
    "log_every_n_steps": "steps between two lines of the logs",
    "callbacks": "with += in place of =: one more callback, by its class",
    "fast_dev_run": "try everything with one batch",
}


def overview(command: str) -> str:
    """Return the short help of a command: what a run is, its parts, its data and its trainer."""
    hidden = set() if command == "fit" else {"keep_minutes"}
    groups = {
        "the run": _options("", {k: v for k, v in RUN.items() if k not in hidden}),
        "the model and its training": _options(
            "model.", _arguments("training/module.py", "ClassificationModule")
        ),
        "the data": {
            "--data": DATA,
            **_options("data.", _arguments("training/data.py", "ClipData")),
        },
        "the trainer (Lightning's)": _options("trainer.", TRAINER),
        "more": {
            "--help.all": "every option",
            "--PART.help [NAME]": "options of a part, for example "
            "--model.model.help stgraph.recipes.dyreg_small",
        },
    }
    lines = [f"usage: stgraph {command} [--config FILE] [--OPTION VALUE ...]"]
    lines += [*(VIDEOS if command == "predict" else ()), ""]
    lines += [f"{PURPOSES[command]}", ""]
    for title, options in groups.items():
        lines += [f"{title}:", *(line for item in options.items() for line in _row(*item)), ""]
    return "\n".join(lines).rstrip()


def _options(prefix: str, told: Mapping[str, str]) -> dict[str, str]:
    return {f"--{prefix}{name}": text for name, text in told.items()}


def _row(option: str, text: str) -> list[str]:
    first, rest = f"  {option:27} ", " " * 30
    if len(option) > 27:
        return [
            f"  {option}",
            *textwrap.wrap(text, 100, initial_indent=rest, subsequent_indent=rest),
        ]
    return textwrap.wrap(text, 100, initial_indent=first, subsequent_indent=rest)


def _arguments(source: str, name: str) -> dict[str, str]:
    """Read what the docstring of a class says of its arguments."""
    tree = ast.parse(resources.files("stgraph").joinpath(source).read_text("utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    section = (ast.get_docstring(found) or "").partition("Args:\n")[2]
    section = re.split(r"\n\n\S", section)[0]
    told = re.findall(r"^ {4}(\w+): ((?:.|\n {8})*)", section, re.M)
    return {argument: unmarked(" ".join(text.split())) for argument, text in told}


def unmarked(text: str) -> str:
    """Take the marks of reStructuredText off a text for the terminal."""
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text).replace("``", "")
