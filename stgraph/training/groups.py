"""Which parameters learn at which share of the rate: parts that sort those of a module."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer
from torch_geometric import nn as pyg

from stgraph.checks import InputError
from stgraph.layers import FrameNorm, MapNorm, Scaled
from stgraph.nodes import NodeExtractor

__all__ = ["Group", "Groups", "RegionGroups", "TSMGroups", "build", "together"]


class Group(NamedTuple):
    """Parameters that learn alike."""

    name: str
    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    """What the optimiser's learning rate is multiplied by."""
    decay: float = 1.0
    """What its weight decay is multiplied by."""


Groups = Callable[[nn.Module], Sequence[Group]]
"""From a module to groups that hold each parameter that learns exactly once."""


def together(module: nn.Module) -> list[Group]:
    """Put all that learns into one group, as the papers do on the digits."""
    return [Group("all", [p for p in module.parameters() if p.requires_grad])]


class RegionGroups:
    """What finds the nodes learns at a rate of its own: all parameters of extractors.

    Args:
        rate: what the optimiser's rate is multiplied by for them.
        decay: the same of the weight decay.

    Raises:
        InputError: when called with a module whose extractors, if it has any, learn nothing.

    Examples:
        >>> from stgraph.recipes import dyreg_small
        >>> for group in RegionGroups(rate=0.1)(dyreg_small()):
        ...     print(group.name, len(group.parameters), group.rate)
        rest 34 1.0
        regions 33 0.1
    """

    def __init__(self, rate: float, decay: float = 1.0) -> None:
        self.rate, self.decay = rate, decay

    def __call__(self, module: nn.Module) -> list[Group]:
        """Sort the parameters of a module that learn."""
        extractors = [part for part in module.modules() if isinstance(part, NodeExtractor)]
        regions = {id(p) for part in extractors for p in part.parameters() if p.requires_grad}
        if not regions:
            raise InputError("model", "one whose regions learn", f"{len(extractors)} extractors")
        learning = [p for p in module.parameters() if p.requires_grad]
        rest = [p for p in learning if id(p) not in regions]
        own = Group("regions", [p for p in learning if id(p) in regions], self.rate, self.decay)
        return [Group("rest", rest), own] if rest else [own]


_MAPS = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,  # transposed ones too
    nn.RNNBase,
    nn.RNNCellBase,
    pyg.Linear,
)
_NORMS = (
    nn.modules.batchnorm._NormBase,  # of batches and of instances
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    FrameNorm,
    MapNorm,
    Scaled,
    pyg.LayerNorm,
    pyg.GraphNorm,
)
_BIASED = (*_MAPS, nn.MultiheadAttention, pyg.MessagePassing)
_BIASES = re.compile("bias(_[ih]h.*)?|in_proj_bias")  # bias_k and bias_v are tokens
_ENDS = ("classifier", "fc")


class TSMGroups:
    """The groups of TSM, which DyReG follows on Something-Something.

    ================================================  ====  =====
    parameters                                        rate  decay
    ================================================  ====  =====
    weights of convolutions, linear maps, GRU, LSTM   1     1
    their biases                                      2     0
    norms                                             1     0
    weight of the classifier                          5     1
    its bias                                          10    0
    anything else: gates, attention biases, slots, …  1     1
    ================================================  ====  =====

    (The official code keeps the first convolution apart, with the factors of the others, and tells
    the classifier by its number of classes.)

    Args:
        classifier: name of the module whose last linear map is the classifier, such as
            ``"model.net.fc"`` or its end, ``"fc"``; by default the one that is called
            ``classifier`` or ``fc``.

    Raises:
        InputError: when called with a module in which no such name, or several, are found.

    Examples:
        >>> net = nn.Sequential()
        >>> net.add_module("conv1", nn.Conv2d(1, 4, 3))
        >>> net.add_module("bn1", nn.BatchNorm2d(4))
        >>> net.add_module("fc", nn.Linear(4, 2))
        >>> for group in TSMGroups()(net):
        ...     print(group.name, len(group.parameters), group.rate, group.decay)
        weights 1 1.0 1.0
        biases 1 2.0 0.0
        norms 2 1.0 0.0
        classifier_weights 1 5.0 1.0
        classifier_biases 1 10.0 0.0

    Source: DyReG's official code, after TSM's.
    """

    def __init__(self, classifier: str | None = None) -> None:
        self.classifier = classifier

    def __call__(self, module: nn.Module) -> list[Group]:
        """Sort the parameters of a module that learn; groups without any are left out."""
        end = self._end(module)
        found: dict[str, list[nn.Parameter]] = {name: [] for name in _FACTORS}
        seen: set[int] = set()
        # The classifier comes first: a weight that it shares with another map is the classifier's.
        for part in (end, *module.modules()):
            for name, parameter in part.named_parameters(recurse=False):
                if id(parameter) not in seen and parameter.requires_grad:
                    seen.add(id(parameter))
                    kind = _kind(part, name)
                    found[f"classifier_{kind}" if part is end else kind].append(parameter)
        return [Group(name, own, *_FACTORS[name]) for name, own in found.items() if own]

    def _end(self, module: nn.Module) -> nn.Module:
        """Find the linear map that is the classifier."""
        names = _ENDS if self.classifier is None else (self.classifier,)
        found = {}  # the last map in a module, by the module's name
        for path, part in module.named_modules():
            if any(path == name or path.endswith(f".{name}") for name in names):
                maps = [inner for inner in part.modules() if isinstance(inner, _MAPS)]
                found.update({path: maps[-1]} if maps else {})
        if len({id(last) for last in found.values()}) != 1:
            expected = "the name of the one module that ends in the model's classifier"
            sought = "nothing called " + " or ".join(map(repr, names))
            raise InputError("classifier", expected, f"several: {[*found]}" if found else sought)
        return next(iter(found.values()))


_FACTORS = {  # rate and decay
    "weights": (1.0, 1.0),
    "biases": (2.0, 0.0),
    "norms": (1.0, 0.0),
    "classifier_weights": (5.0, 1.0),
    "classifier_biases": (10.0, 0.0),
}


def _kind(part: nn.Module, name: str) -> str:
    if isinstance(part, _NORMS):
        return "norms"
    return "biases" if isinstance(part, _BIASED) and _BIASES.fullmatch(name) else "weights"


def build(
    module: nn.Module,
    optimizer: Callable[[Iterable[Any]], Optimizer],
    groups: Groups = together,
) -> Optimizer:
    """Build an optimiser over the parameters of a module that learn, in groups.

    Args:
        module: whose parameters.
        optimizer: from parameters to an optimiser; its ``lr`` and ``weight_decay`` are multiplied
            by the groups' factors. Where all factors are 1 it gets plain parameters, otherwise a
            dict a group, as PyTorch's optimisers take either.
        groups: from the module to groups.

    Raises:
        InputError: when nothing learns, a parameter that learns is in no group, or in several, a
            group holds one of another module or one that is frozen, a rate is not above 0 or a
            decay below 0, or the optimiser has no such rate or decay to multiply.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
        >>> made = build(net, lambda p: torch.optim.SGD(p, lr=0.1), TSMGroups(classifier="1"))
        >>> [entry["lr"] for entry in made.param_groups]
        [0.1, 0.2, 0.5, 1.0]
    """
    sorted_ = [_checked(number, group) for number, group in enumerate(groups(module))]
    _check(module, sorted_)
    if all(group.rate == 1 and group.decay == 1 for group in sorted_):
        return optimizer([parameter for group in sorted_ for parameter in group.parameters])
    made = optimizer([{"params": list(g.parameters), "name": g.name} for g in sorted_])
    for group, entry in zip(sorted_, made.param_groups, strict=True):
        for name, factor in (("lr", group.rate), ("weight_decay", group.decay)):
            if factor == 1:
                continue
            if name not in entry:
                expected = f"one with the option {name}, of which {group.name!r} has {factor:g}"
                raise InputError("optimizer", expected, type(made).__name__)
            entry[name] = entry[name] * factor  # a new one: a tensor is that of all groups
    return made


def _checked(number: int, group: Group) -> Group:
    """Return a group whose parameters can be gone through more than once."""
    name = f"groups[{number}]"
    if not isinstance(group, Group):
        raise InputError(name, "a Group", type(group).__name__)
    if not (group.rate > 0 and math.isfinite(group.rate)):
        raise InputError(f"{name}.rate", "a number above 0", group.rate)
    if not (group.decay >= 0 and math.isfinite(group.decay)):
        raise InputError(f"{name}.decay", "a number of at least 0", group.decay)
    return group._replace(parameters=tuple(group.parameters))


def _check(module: nn.Module, groups: Iterable[Group]) -> None:
    named = {id(p): name for name, p in module.named_parameters()}
    learning = {id(p): name for name, p in module.named_parameters() if p.requires_grad}
    if not learning:
        raise InputError("model", "parameters that learn", "frozen ones" if named else "none")
    given = Counter(id(parameter) for group in groups for parameter in group.parameters)
    for fault, names in {
        "in none": [name for key, name in learning.items() if key not in given],
        "in several": [name for key, name in learning.items() if given[key] > 1],
        "frozen": [named[key] for key in given if key in named and key not in learning],
        "of another module": ["?" for key in given if key not in named],
    }.items():
        if names:
            raise InputError("groups", "each parameter that learns in one", f"{fault}: {names}")
