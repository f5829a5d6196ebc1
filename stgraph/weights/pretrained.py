"""Models in folders and on hubs: weights as safetensors, beside a configuration of plain values.

Nothing in such a folder is ever run. A configuration names a recipe of :mod:`stgraph.recipes` and
what to call it with, and no other function can be called by a name in a file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from stgraph import recipes
from stgraph.checks import InputError, dense
from stgraph.reading import (
    digest,
    opened,
    parse_json,
    read_json,
    read_safetensors,
    reason,
    within_memory,
)
from stgraph.recipes.recorded import FUNCTIONS, PARTS, Part, Recipe, Unwritten
from stgraph.weights.by_name import load_by_name, match_names
from stgraph.writing import whole, write_whole

__all__ = ["from_pretrained", "save_pretrained"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_JSON = "a configuration in JSON"
_DIGEST = "sha256 of config.json"
_TEXT, _REPLACED = "config.json", "sha256 of the config.json before"
FORMAT = 1
"""Of the configuration; a reader refuses later ones."""

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def save_pretrained(model: nn.Module, folder: str | Path) -> Path:
    """Write a model into a folder: ``config.json`` and ``model.safetensors``.

    A model that a recipe made needs nothing else to be loaded again. Of another model, or one whose
    recipe was given a module or function of your own, the configuration says so, and loading asks
    for a ``build`` function. The configuration is what the recipe was called with: what was changed
    about the model afterwards is not in it.

    Files of the same names are replaced, each as a whole, and together: weights hold their
    configuration too, which counts where a process was killed before it had replaced the other
    file. Types of weights, buffers and shared weights are kept.

    Args:
        model: any module.
        folder: where to; made if it is not there.

    Returns:
        The folder.

    Raises:
        InputError: when the model has tensors of a type that safetensors has not, or that are not
            dense.
        OSError: when it cannot be written. In both cases what stood there before still stands.
    """
    from stgraph import __version__

    noted = getattr(model, "recipe", None)
    known = noted if isinstance(noted, Recipe) and noted.name in recipes.__all__ else None
    config = {
        "library": "stgraph",
        "version": __version__,
        "format": FORMAT,
        "model": type(model).__name__,
        "recipe": known.name if known else None,
        "arguments": _written(known.arguments) if known else {},
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    tensors, shared = _apart(model.state_dict())
    metadata = {**shared, "format": "pt", _TEXT: text, _DIGEST: _digest(text)}
    if (folder / CONFIG).is_file():
        metadata[_REPLACED] = digest(folder / CONFIG)
    with whole(folder / WEIGHTS) as part:
        mode = part.stat().st_mode
        _save(tensors, part, metadata)
        part.chmod(mode)  # as others may read it
    write_whole(folder / CONFIG, text.encode())
    return folder


def from_pretrained(
    source: str | Path,
    build: Callable[[], nn.Module] | None = None,
    revision: str | None = None,
) -> nn.Module:
    """Load a model that :func:`save_pretrained` wrote, from a folder or from a hub.

    Args:
        source: a folder; or ``"owner/name"`` on the Hugging Face hub, if there is no such folder
            and ``huggingface_hub`` is installed.
        build: function that makes the model, for one that no recipe made or whose recipe was given
            what a file cannot name.
        revision: branch, tag or commit on the hub.

    Returns:
        The model, on the CPU and in evaluation mode, in the types that it was saved in.

    Raises:
        InputError: when there is no such folder or file in it, the configuration is not one, is of
            a later version or names a recipe that there is not, or the weights are those of another
            model.

    Examples:
        >>> import tempfile
        >>> from stgraph.recipes import dyreg_small
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = from_pretrained(save_pretrained(dyreg_small(num_classes=5), folder))
        >>> model.recipe.name, model.num_classes
        ('dyreg_small', 5)
    """
    file = _finder(source, revision)
    described = file(CONFIG)
    config = _config(read_json(described, _JSON, "source"), described)
    weights = file(WEIGHTS)
    state, words = read_safetensors(weights, f"weights in {WEIGHTS}", "source")
    saved_with = digest(described)
    if _TEXT in words and words.get(_REPLACED) == saved_with:
        # Saving was cut off between the two files: these weights brought their configuration.
        with opened(weights, _JSON, "source"):
            config = _config(parse_json(words[_TEXT]), weights)
        saved_with = _digest(words[_TEXT])
    words.setdefault(_DIGEST, saved_with)

    def checked(model: nn.Module) -> nn.Module:
        try:
            _check(model, state, words, saved_with)
        except InputError as error:
            expected = f"the weights of this {type(model).__name__}"
            came = f"those of another model in {weights} ({error})"
            raise InputError("source", expected, came) from None
        return model

    if build is not None:
        model = checked(build())
    elif config["recipe"] is None:
        raise InputError("build", f"a function that makes the {config.get('model')}", "none")
    else:
        with torch.device("meta"):  # without memory, which is taken for a model of these weights
            checked(_called(config["recipe"], config["arguments"]))
        with within_memory("source"):
            model = checked(_called(config["recipe"], config["arguments"]))
    _cast(model, state)
    load_by_name(model, state)
    return model.eval()


def _digest(config: str) -> str:
    """What ties weights to the configuration that they were saved with."""
    return hashlib.sha256(config.encode()).hexdigest()


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors; what a disk refuses, safetensors tells in words alone."""
    try:
        save_file(tensors, path, metadata=metadata)
    except KeyError as error:  # a type that the format has not
        refused = (name for name, value in tensors.items() if value.dtype in error.args)
        if (name := next(refused, None)) is None:
            raise
        expected = "tensors of types that safetensors has"
        raise InputError("model", expected, f"{tensors[name].dtype} in {name}") from error
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _apart(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors without common memory; and for each name left out, that of the same tensor."""
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    names: dict[tuple[Any, ...], str] = {}
    memory = set()
    # What is conjugated or negated only where it is read is so here. All are kept to the end, for
    # the next one may have the memory of one that is gone.
    resolved = {
        name: dense(f"model.state_dict()[{name!r}]", value).detach().resolve_conj().resolve_neg()
        for name, value in state.items()
    }
    for name, tensor in resolved.items():
        storage = tensor.untyped_storage()
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and same in names:
            shared[name] = names[same]
            continue
        names[same] = name
        alone = storage.data_ptr() not in memory
        memory.add(storage.data_ptr())
        tensors[name] = tensor if alone and tensor.is_contiguous() else tensor.clone().contiguous()
    return tensors, shared


def _written(value: Any) -> Any:
    """A recipe's argument as JSON has it."""
    if isinstance(value, Recipe):
        return {"$recipe": value.name, "arguments": _written(value.arguments)}
    if isinstance(value, Part):
        return {"$part": value.name, "arguments": _written(value.arguments)}
    if isinstance(value, Unwritten):
        return {"$unwritten": value.what}
    if isinstance(value, tuple):
        return [_written(part) for part in value]
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items()}
    names = [name for name, function in FUNCTIONS.items() if function is value]
    return {"$function": names[0]} if names else value


def _read(value: Any, place: str) -> Any:
    """What :func:`_written` wrote."""
    if isinstance(value, list):
        return tuple(_read(part, place) for part in value)
    if not isinstance(value, dict):
        return value
    if "$recipe" in value:
        return _called(value["$recipe"], value.get("arguments"))
    if "$function" in value:
        name = value["$function"]
        if not isinstance(name, str) or name not in FUNCTIONS:
            raise InputError(CONFIG, f"functions among {sorted(FUNCTIONS)}", repr(name))
        return FUNCTIONS[name]
    if "$part" in value:
        name = value["$part"]
        if not isinstance(name, str) or name not in PARTS:
            raise InputError(CONFIG, f"parts among {sorted(PARTS)}", repr(name))
        return _made(PARTS[name], name, value.get("arguments"))
    if "$unwritten" in value:
        raise InputError("build", f"a function that makes the model, with {place}", "none")
    return {key: _read(part, place) for key, part in value.items()}


def _called(name: Any, arguments: Any) -> nn.Module:
    """Call a recipe by its name."""
    if name not in recipes.__all__:
        raise InputError(CONFIG, f"a recipe among {recipes.__all__}", repr(name))
    return _made(getattr(recipes, name), name, arguments)  # type: ignore[no-any-return]


def _made(make: Callable[..., Any], name: str, arguments: Any) -> Any:
    """Call a function that a file may name with what the file says."""
    if not isinstance(arguments, dict):
        raise InputError(CONFIG, f"arguments of {name}", type(arguments).__name__)
    if unknown := sorted(set(arguments) - set(inspect.signature(make).parameters)):
        raise InputError(CONFIG, f"arguments that {name} has", unknown)
    try:
        told = {
            key: _read(value, f"the argument {key!r} of {name}") for key, value in arguments.items()
        }
    except RecursionError:
        raise InputError(CONFIG, f"arguments of {name}", "lists without an end") from None
    try:
        return make(**told)
    except Exception as error:  # of any kind, as what a recipe is called with may be anything
        came = f"{str(told)[:200]} ({reason(error)})"
        raise InputError(CONFIG, f"arguments that {name} takes", came) from error


def _config(config: Any, file: Path) -> dict[str, Any]:
    """A configuration, once it is known to be one that can be read here."""
    if not isinstance(config, dict) or not {"format", "recipe", "arguments"} <= set(config):
        raise InputError("source", "a configuration that `save_pretrained` wrote", file)
    if type(config["format"]) is not int or config["format"] != FORMAT:
        came = f"{file} of format {config['format']!r}, by stgraph {config.get('version')}"
        raise InputError("source", f"a configuration of format {FORMAT}", came)
    return config


def _finder(source: str | Path, revision: str | None) -> Callable[[str], Path]:
    """A function from a file's name to the file, in a folder or on the hub."""
    folder = Path(source)
    if folder.is_dir():
        if revision is not None:
            raise InputError("revision", "None for a folder", repr(revision))

        def local(name: str) -> Path:
            if not (folder / name).is_file():
                raise InputError("source", f"a folder with {name}", f"{folder} without")
            return folder / name

        return local
    if not isinstance(source, str) or not _HUB.fullmatch(source):
        raise InputError("source", "a folder, or owner/name on the hub", repr(str(source)))
    if importlib.util.find_spec("huggingface_hub") is None:
        missing = f"{source!r}, which is no folder, without huggingface_hub"
        how = "a folder; or `pip install huggingface_hub` for a name on the hub"
        raise InputError("source", how, missing)
    from huggingface_hub import hf_hub_download

    def fetched(name: str) -> Path:
        try:
            return Path(hf_hub_download(source, name, revision=revision))
        except (OSError, ValueError) as error:  # no such name or revision, no network, no right to
            came = f"{type(error).__name__}: {reason(error)}"
            raise InputError("source", f"{name} of {source} on the hub", came) from error

    return fetched


def _check(
    model: nn.Module, state: dict[str, Tensor], words: Mapping[str, str], config: str
) -> None:
    """Check that weights are just those of a model; shared ones get all of their names."""
    own = model.state_dict()
    for name in own:
        if name not in state and words.get(name) in state:
            state[name] = state[words[name]]
    if more := sorted(set(state) - set(own)):
        raise InputError("state", "names that the model has", f"{more[:4]}, {len(more)} in all")
    match_names(model, state)
    if words[_DIGEST] != config:
        raise InputError(CONFIG, "the one that the weights were saved with", "another")


def _cast(module: nn.Module, state: Mapping[str, Tensor], prefix: str = "") -> None:
    """Give a module the types of its weights; where floating ones agree, to all that is in it."""
    inside = [value for name, value in state.items() if name.startswith(prefix)]
    types = {value.dtype for value in inside if value.is_floating_point()}
    if len(types) == 1:
        (kind,) = types
        cast: Any = module._apply  # as `module.float()` does it
        cast(lambda one: one.to(kind) if one.is_floating_point() else one)
        if not any(value.is_complex() for value in inside):
            return
    for name, child in module.named_children():
        _cast(child, state, f"{prefix}{name}.")
    own: list[dict[str, Any]] = [module._parameters, module._buffers]
    for tensors in own:
        for name, tensor in tensors.items():
            value = state.get(prefix + name)
            if value is not None and (tensor.is_floating_point() or tensor.is_complex()):
                tensor.data = tensor.data.to(value.dtype)
