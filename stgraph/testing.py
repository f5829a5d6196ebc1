"""What every node extractor promises, as functions that test yours too; and how to find classes.

Each law takes an extractor and raises an ``AssertionError`` where it is broken. It works on a copy
in double precision, with the ``edges`` that the extractor has and hints of its ``example_hints``,
so nothing of yours is changed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from inspect import isabstract
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch

from stgraph.checks import InputError
from stgraph.graph import layout_of, to_dense, validate
from stgraph.nodes import NodeExtractor

T = TypeVar("T")

__all__ = [
    "EXTRACTOR_LAWS",
    "any_map",
    "check_extractor",
    "exact_gradients",
    "gradients_everywhere",
    "graphs_round_trip",
    "half_precision",
    "kinds",
    "padding_changes_nothing",
    "pieces_equal_the_whole",
    "separate_clips",
    "state_owns_its_memory",
    "valid_graphs",
    "wrong_features_refused",
]


def kinds(package: ModuleType, base: type[T]) -> list[type[T]]:
    """Find the classes of a kind in all modules of a package, by name; abstract ones are left out.

    Examples:
        >>> import stgraph.edges
        >>> [kind.__name__ for kind in kinds(stgraph.edges, stgraph.edges.EdgeBuilder)][:2]
        ['FullEdges', 'GridEdges']
    """
    found: set[type[T]] = set()
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base):
                found.add(value)
    return sorted((kind for kind in found if not isabstract(kind)), key=lambda kind: kind.__name__)


def check_extractor(extractor: NodeExtractor) -> None:
    """Hold an extractor to every law; those that it must not keep, call one by one instead.

    Args:
        extractor: as it is used, of any width; a few channels are quickest.

    Raises:
        AssertionError: naming the law that is broken, from what went wrong.

    Examples:
        >>> from stgraph.edges import FullEdges
        >>> from stgraph.nodes import GridNodes
        >>> check_extractor(GridNodes(4, (2, 1), edges=FullEdges()))
    """
    for law in EXTRACTOR_LAWS:
        try:
            law(extractor)
        except Exception as error:
            name = f"{type(extractor).__name__} breaks {law.__name__!r}"
            raise AssertionError(f"{name}: {error}") from error


def valid_graphs(extractor: NodeExtractor) -> None:
    """Graphs keep the contract, whose kernels sum to 1 (or 0) and whose centres are the boxes'."""
    extractor = _double(extractor)
    graph, state = _extract(extractor, _maps(extractor, 2, 3))
    validate(graph)
    layout = layout_of(graph)
    sizes = (graph.num_graphs, layout.clips, layout.frames, layout.height, layout.width)
    _same("sizes", sizes, (6, 2, 3, 7, 9))
    _same("width of x", graph.x.size(1), extractor.out_channels)
    _same("clock", state.clock, 3)
    total = graph.kernel.sum((1, 2))
    assert_close(total, (graph.mass > 0).to(total))
    assert_close(graph.pos, (graph.box[:, :2] + graph.box[:, 2:]) / 2)


def graphs_round_trip(extractor: NodeExtractor) -> None:
    """Single graphs, batched again, are the batch that they come from."""
    extractor = _double(extractor)
    graph, _ = _extract(extractor, _maps(extractor, 2, 3))
    back = Batch.from_data_list(graph.to_data_list())
    for name, value in graph.to_dict().items():
        if name != "layout":
            assert_close(back[name], value, rtol=0, atol=0)


def any_map(extractor: NodeExtractor) -> None:
    """Maps of any size are taken."""
    extractor = _double(extractor)
    for height, width in ((5, 5), (14, 10), (33, 32)):
        graph, _ = _extract(extractor, _maps(extractor, 1, 1, height, width))
        _same("kernel", tuple(graph.kernel.shape[1:]), (height, width))
        _finite("x", graph.x)


def separate_clips(extractor: NodeExtractor) -> None:
    """A clip's graphs do not depend on the other clips of the batch."""
    extractor = _double(extractor)
    both = _maps(extractor, 2, 3)
    other = both.clone()
    other[1] = 5 * both[1] - 1
    hints = extractor.example_hints(both)
    graph, changed = extractor(both, **hints)[0], extractor(other, **hints)[0]
    assert_close(to_dense(changed.x, changed)[0], to_dense(graph.x, graph)[0])


def pieces_equal_the_whole(extractor: NodeExtractor) -> None:
    """Frame by frame, with the state, comes what comes at once; or a state is refused."""
    extractor = _double(extractor)
    features = _maps(extractor, 2, 5)
    hints = extractor.example_hints(features)
    whole, end = extractor(features, **hints)
    if not extractor.causal:
        _refused("state: expected None", lambda: extractor(features[:, :1], end, **hints))
        return
    state: Any = None
    pieces = []
    for t in range(5):
        now = {name: value[:, t : t + 1] for name, value in hints.items()}
        piece, state = extractor(features[:, t : t + 1], state, **now)
        pieces.append(piece)
    _same("clock", (state.clock, end.clock), (5, 5))
    for name in ("x", "kernel", "box"):
        joined = torch.cat([to_dense(piece[name], piece) for piece in pieces], dim=1)
        assert_close(joined, to_dense(whole[name], whole), atol=1e-10, rtol=0)
    _same("time", set(torch.cat([piece.time for piece in pieces]).tolist()), set(range(5)))


def padding_changes_nothing(extractor: NodeExtractor) -> None:
    """Clips of different lengths, padded, give what each gives alone; padding may be anything.

    So do those that go on from there, where an extractor takes a state.
    """
    extractor = _double(extractor)
    features = _maps(extractor, 3, 4)
    hints = extractor.example_hints(features)
    mask = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]], dtype=torch.bool)
    spoilt = features.masked_fill(~mask[..., None, None, None], torch.nan)
    graph, state = extractor(spoilt, frame_mask=mask, **hints)
    validate(graph)
    _same("clock", state.clock, (3, 4, 1))
    more = features.flip(1)
    new = extractor.example_hints(more)
    later = extractor(more, state, **new)[0] if extractor.causal else None
    for clip, length in enumerate((3, 4, 1)):
        here = slice(clip, clip + 1)
        own = {name: hint[here, mask[clip]] for name, hint in hints.items()}
        alone, after = extractor(features[here, mask[clip]], **own)
        pairs = [(graph, alone, length)]
        if later is not None:
            own = {name: hint[here] for name, hint in new.items()}
            pairs.append((later, extractor(more[here], after, **own)[0], 4))
        for padded, by_itself, count in pairs:
            for name in ("x", "kernel", "box"):
                whole = to_dense(padded[name], padded)[clip, :count]
                assert_close(whole, to_dense(by_itself[name], by_itself)[0], atol=1e-10, rtol=0)


def state_owns_its_memory(extractor: NodeExtractor) -> None:
    """A state is no view of the piece that it comes from, which it would keep in memory."""
    extractor = _double(extractor)
    _, state = _extract(extractor, _maps(extractor, 2, 6))
    for part in _tensors(state):
        _same("bytes behind a tensor of the state", part.untyped_storage().nbytes(), part.nbytes)


def gradients_everywhere(extractor: NodeExtractor) -> None:
    """Gradients reach the maps and every parameter."""
    extractor = _open(_double(extractor))
    features = _maps(extractor, 2, 3).requires_grad_()
    graph, _ = _extract(extractor, features)
    (_random(*graph.x.shape) * graph.x).sum().backward()
    for name, tensor in (("features", features), *extractor.named_parameters()):
        if tensor.grad is None or not tensor.grad.abs().sum() > 0:
            raise AssertionError(f"no gradient reaches {name}")


def exact_gradients(extractor: NodeExtractor) -> None:
    """Gradients are those of finite differences."""
    extractor = _open(_double(extractor))
    features = _maps(extractor, 1, 2, 4, 3).requires_grad_()
    hints = extractor.example_hints(features)
    parameters = dict(extractor.named_parameters())

    def graphs(features: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(parameters, values, strict=True))
        graph, _ = torch.func.functional_call(extractor, given, (features,), hints)
        return graph.x, graph.kernel, graph.mass, graph.box, graph.pos

    # A small step, so that it hardly ever crosses the kink of a ReLU.
    inputs = (features, *parameters.values())
    torch.autograd.gradcheck(graphs, inputs, eps=1e-7, fast_mode=True)


def wrong_features_refused(extractor: NodeExtractor) -> None:
    """Features of another shape or type are refused in words."""
    extractor = _double(extractor)
    width = extractor.channels
    for wrong, message in (
        (torch.zeros(2, 3, width + 1, 7, 9), f"features: expected [B, T, {width}, H, W], got [2, "),
        (torch.zeros(3, width, 7, 9), f"features: expected [B, T, {width}, H, W]"),
        (torch.zeros(2, 0, width, 7, 9), "features: expected no size of 0"),
        (torch.zeros(2, 3, width, 7, 9, dtype=torch.long), "features: expected a floating-point"),
    ):
        _refused(message, partial(extractor, wrong))


def half_precision(extractor: NodeExtractor) -> None:
    """In half precision graphs are finite, and features of its type; under autocast finite."""
    for dtype in (torch.float16, torch.bfloat16):
        copied = deepcopy(extractor).cpu()
        features = _maps(copied, 1, 2)
        hints = copied.example_hints(features)
        graph, _ = copied.to(dtype)(features.to(dtype), **hints)
        _same("type of x", graph.x.dtype, dtype)
        copied, features = copied.float(), features.float()
        with torch.autocast("cpu", dtype=dtype):
            cast, _ = copied(features, **copied.example_hints(features))
        for made in (graph, cast):
            _same("whether there are nodes", bool(made.num_nodes), True)
            _finite("x", made.x)
            _finite("kernel", made.kernel)


EXTRACTOR_LAWS: tuple[Callable[[NodeExtractor], None], ...] = (
    valid_graphs,
    graphs_round_trip,
    any_map,
    separate_clips,
    pieces_equal_the_whole,
    padding_changes_nothing,
    state_owns_its_memory,
    gradients_everywhere,
    exact_gradients,
    wrong_features_refused,
    half_precision,
)


def _double(extractor: NodeExtractor) -> NodeExtractor:
    return deepcopy(extractor).cpu().double()


def _open(extractor: NodeExtractor) -> NodeExtractor:
    """Open the gates: behind a parameter that is 0, as some are at the start, nothing shows."""
    for parameter in extractor.parameters():
        if not parameter.any():
            torch.nn.init.constant_(parameter, 0.3)
    return extractor


def _maps(
    extractor: NodeExtractor, clips: int, frames: int, height: int = 7, width: int = 9
) -> Tensor:
    return _random(clips, frames, extractor.channels, height, width)


def _random(*sizes: int) -> Tensor:
    """The same numbers in every call."""
    return torch.randn(sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _extract(extractor: NodeExtractor, features: Tensor) -> Any:
    return extractor(features, **extractor.example_hints(features))


def _tensors(state: Any) -> list[Tensor]:
    """All tensors in a state."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, dict):
        state = list(state.values())
    if not isinstance(state, (tuple, list)):
        return []
    return [tensor for part in state for tensor in _tensors(part)]


def _same(name: str, came: object, expected: object) -> None:
    if came != expected:
        raise AssertionError(f"{name}: expected {expected}, got {came}")


def _finite(name: str, tensor: Tensor) -> None:
    if not tensor.isfinite().all():
        raise AssertionError(f"{name}: expected finite values, got NaN or infinity")


def _refused(message: str, call: Callable[[], object]) -> None:
    try:
        call()
    except InputError as error:
        if message not in str(error):
            raise AssertionError(f"expected {message!r}, got {error}") from error
        return
    raise AssertionError(f"expected an InputError, {message!r}, and none was raised")
