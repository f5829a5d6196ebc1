"""ImageNet weights in torchvision's files, for the residual networks here."""

from __future__ import annotations

import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.backbones.resnet import resnet18, resnet34, resnet50
from stgraph.checks import InputError, choice, dense
from stgraph.classifiers import CNNClassifier
from stgraph.reading import digest, read_torch
from stgraph.weights.by_name import Loaded, load_by_name, told

__all__ = ["imagenet_weights", "load_imagenet"]

ADDRESS = "https://download.pytorch.org/models/"
# The part after the dash is how the SHA-256 of the file begins.
FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet50-v2": "resnet50-11ad3fa6.pth",
}
_LARGEST = 1 << 28  # bytes of a file; those of a ResNet-50 are 102 million
_NETS = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet50-v2": resnet50,
}


def imagenet_weights(name: str, path: str | Path | None = None) -> dict[str, Tensor]:
    """Weights trained on ImageNet, from a file or from torchvision's public address.

    A download goes to the cache of ``torch.hub`` (``TORCH_HOME`` moves it) and is verified by its
    digest, then and whenever it is read from there. Files are read as weights only: nothing in
    them is run.

    Args:
        name: ``"resnet18"``, ``"resnet34"``, ``"resnet50"`` (the first weights of torchvision) or
            ``"resnet50-v2"`` (its later, better ones).
        path: a state dict in a file, with any number of classes; its digest is not asked for.

    Returns:
        A state dict for :func:`load_imagenet`, on the CPU.

    Raises:
        InputError: on another name, or a file that is not there or is not such a state dict.
        OSError: when the download fails or is not the expected file.

    Examples:
        >>> imagenet_weights("resnet81")
        Traceback (most recent call last):
        stgraph.checks.InputError: name: expected one of 'resnet18', ..., got 'resnet81'
    """
    choice("name", name, FILES)
    file = _downloaded(FILES[name]) if path is None else Path(path)
    expected = "a file that torch.save wrote, with weights only"
    return _checked(read_torch(file, expected, "path"), name, file)


def _downloaded(name: str) -> Path:
    """The file in the cache, verified; downloaded if it is not there."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    known = name.removesuffix(".pth").rpartition("-")[2]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(ADDRESS + name, file, known)
        except (OSError, http.client.HTTPException) as error:
            raise OSError(
                f"could not download {ADDRESS}{name} to {file}: {error}\n"
                "A file that came another way can be given as `path`."
            ) from error
    got = digest(file)
    if not got.startswith(known):
        raise OSError(f"{file}: expected a SHA-256 of {known}…, got {got}; delete it to try again")
    return file


def _download(address: str, file: Path, known: str) -> None:
    """Fetch a file whose digest begins in a known way, and let it be there when it is whole."""
    found, size = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(prefix=".download-", dir=file.parent) as folder:
        part = Path(folder, file.name)
        with urllib.request.urlopen(address, timeout=30) as sent, part.open("wb") as kept:
            while block := sent.read(1 << 20):
                size += len(block)
                if size > _LARGEST:
                    raise OSError(f"more than {_LARGEST} bytes")
                found.update(block)
                kept.write(block)
        if not (got := found.hexdigest()).startswith(known):
            raise OSError(f"invalid hash value, {got} for {known}…")
        part.replace(file)


def _checked(state: Any, name: str, file: Path) -> dict[str, Tensor]:
    """``state`` if it fits the net of that name, whatever its number of classes."""
    if not isinstance(state, Mapping):
        raise InputError("path", f"a state dict of a {name}", f"{file} with {type(state).__name__}")
    with torch.device("meta"):
        net = _NETS[name]()
    for part, mine in net.state_dict().items():
        if part.startswith("fc.") or part.endswith("num_batches_tracked"):
            continue
        given = state.get(part)
        if not isinstance(given, Tensor) or given.is_nested or given.shape != mine.shape:
            came = "none" if given is None else told(given)
            expected = f"a state dict of a {name}, with {part} {list(mine.shape)}"
            raise InputError("path", expected, f"{file} with {came}")
        dense(f"{file}: {part}", given)
    return {part: given for part, given in state.items() if isinstance(given, Tensor)}


def load_imagenet(net: nn.Module, state: Mapping[str, Tensor]) -> Loaded:
    r"""Load weights trained on ImageNet into a residual network, and say which.

    A net with fewer stages takes those that it has. The classifier is taken only if it fits. A stem
    of one channel takes the sum over the colour channels, so that a grey frame is seen as the same
    frame with three equal channels:

    .. math:: W^{grey}_{o1xy} = \sum_i W_{oixy}

    Args:
        net: one of the residual networks here, or another with the same names; with or without
            blocks in it, which are left as they are; or a classifier around one.
        state: what :func:`imagenet_weights` returned, for a net of clips after
            :func:`~stgraph.backbones.inflate`.

    Returns:
        Names used, skipped and missing.

    Raises:
        InputError: naming what else of the net is missing or has another shape.

    Examples:
        >>> net = resnet18(num_classes=56, in_channels=1, stages=3)
        >>> print(load_imagenet(net, resnet18().state_dict()))
        90 used, 32 skipped (layer4.0.conv1.weight, ...), 2 missing (fc.weight, fc.bias)
    """
    if isinstance(net, CNNClassifier):
        net = net.net
    if not isinstance(state, Mapping):
        raise InputError("state", "weights by name", type(state).__name__)
    state = dict(state)
    mine, stem = net.state_dict().get("conv1.weight"), state.get("conv1.weight")
    if mine is not None and stem is not None:
        dense("state['conv1.weight']", stem)
        if mine.ndim == stem.ndim and mine.size(1) == 1:
            state["conv1.weight"] = stem.sum(dim=1, keepdim=True)
    return load_by_name(net, state, optional=("fc.*", "graph_blocks.*"))
