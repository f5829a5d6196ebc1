"""What a trained model makes of clips, as graphs to be kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, choice
from stgraph.edges import space_time_graph
from stgraph.explain import attention, stages
from stgraph.graph import attach_edges, attach_fields, edge_fields, layout_of
from stgraph.model import Output, SpaceTimeGraph
from stgraph.padding import take_frames
from stgraph.training.batches import check_batch, one_view_each

__all__ = ["Kept", "Wanted", "graphs_of"]

TRUTH = {"box": "true_box", "present": "true_present", "track": "true_track"}
"""What is known of the objects of a clip, and how it is called in a graph."""


@dataclass(frozen=True)
class Wanted:
    """What is to be kept of what a model makes of a clip.

    Args:
        graphs: ``"frames"``, a graph a frame, or ``"clips"``, a space-time graph a clip.
        features: which node features: ``"nodes"``, those of the extractor, ``"processed"``, those
            after the whole schedule, or a place of it: a number from 0, or the name of a layer for
            the last time that it runs.
        place: of a CNN with several graphs, the name of the place; the model's last graph if None.
        attention: which weights of edges: of the last stage of the schedule that has any if None;
            a place's by its number; ``"all"``, a column each; ``"none"``.
        kernel: keep each node's kernel [H, W], which is large: what layers of positions need, and
            what goes back into maps.
        half: keep features, weights of edges and kernels in half precision; exactly if not.

    Raises:
        InputError: on another kind of graphs.
    """

    graphs: Literal["frames", "clips"] = "frames"
    features: str = "nodes"
    place: str | None = None
    attention: str | None = None
    kernel: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        choice("graphs", self.graphs, ("frames", "clips"))


@dataclass(frozen=True)
class Kept:
    """Graphs of a batch of clips."""

    graph: Batch
    """One a frame, or one a clip."""
    rows: dict[str, tuple[Any, Tensor]]
    """Further fields, and how many rows of them each graph has."""
    columns: list[str]
    """What the columns of ``edge_attr`` are."""


def graphs_of(
    module: Any, batch: Mapping[str, Any], wanted: Wanted, clips: list[int], names: list[str]
) -> Kept:
    """Ask a model about clips and keep what is wanted of its answer.

    Of clips with several views there are graphs of each view, which have its number as ``view_id``,
    and the logits that the model has for it alone.

    Args:
        module: a :class:`~stgraph.training.ClassificationModule`, in evaluation mode.
        batch: the clips, on its device.
        wanted: what is kept.
        clips: their numbers, where the batch has no ``index``.
        names: what they are called, where the batch has no ``name``.

    Raises:
        InputError: when the model makes no graphs, or has not what is wanted.
    """
    check_batch(batch)
    flat, views = one_view_each(batch)
    clips = [one for one in clips for _ in range(views)]
    names = [one for one in names for _ in range(views)]
    with torch.no_grad(), _heard(module.model) as outputs:
        answer = module.answer(flat)
        seen = _seen(answer, outputs, wanted, module.model)
        x = _features(seen, wanted)
        graph, columns = _with_attention(seen, wanted)
    graph = copy(graph)
    graph.x = x
    _drop(graph, [] if wanted.kernel else ["kernel"])
    if wanted.half:
        graph = _halved(graph)
    lengths = torch.tensor(layout_of(graph).lengths)
    view = torch.arange(views).repeat(len(clips) // views) if batch["video"].dim() == 6 else None
    rows = _rows(flat, answer.logits, lengths, wanted, clips, names, view)
    return Kept(space_time_graph(graph) if wanted.graphs == "clips" else graph, rows, columns)


@dataclass(frozen=True)
class _Seen:
    graph: Batch
    x: Tensor
    net: SpaceTimeGraph | None
    model: nn.Module


@contextmanager
def _heard(model: nn.Module) -> Iterator[list[tuple[SpaceTimeGraph, Output]]]:
    """Hear what the space-time graphs in a model make, while it runs."""
    outputs: list[tuple[SpaceTimeGraph, Output]] = []

    def hear(net: Any, inputs: Any, out: Output) -> None:
        outputs.append((net, out))

    nets = [part for part in model.modules() if isinstance(part, SpaceTimeGraph)]
    hooks = [net.register_forward_hook(hear) for net in nets]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _seen(
    answer: Any, outputs: list[tuple[SpaceTimeGraph, Output]], wanted: Wanted, model: nn.Module
) -> _Seen:
    """The graph that is asked for, its features in the end, and what made it."""
    graph, x = getattr(answer, "graph", None), getattr(answer, "x", None)
    if wanted.place is not None:
        graphs = getattr(answer, "graphs", {})
        if wanted.place not in graphs:
            raise InputError("place", f"one with a graph, of {sorted(graphs)}", wanted.place)
        graph = graphs[wanted.place]
    if graph is None:
        raise InputError("model", "one that makes graphs", type(model).__name__)
    for net, out in outputs:
        if out.graph is graph:
            return _Seen(graph, out.x, net, model)
    if x is None or wanted.place is not None:
        expected = "a model whose graphs are made by a SpaceTimeGraph"
        raise InputError("model", expected, type(model).__name__)
    return _Seen(graph, x, None, model)


def _net(seen: _Seen, name: str, value: str) -> SpaceTimeGraph:
    if seen.net is None:
        expected = f"a model with a SpaceTimeGraph, for {value!r}"
        raise InputError(name, expected, type(seen.model).__name__)
    return seen.net


def _features(seen: _Seen, wanted: Wanted) -> Tensor:
    if wanted.features in ("nodes", "processed"):
        x: Tensor = seen.graph.x if wanted.features == "nodes" else seen.x
        return x
    net = _net(seen, "features", wanted.features)
    last = {name: str(place) for place, name in enumerate(net.schedule)}
    place = last.get(wanted.features, wanted.features)
    if not place.isdigit() or int(place) >= len(net.schedule):
        known = ["nodes", "processed", *dict.fromkeys(net.schedule)]
        expected = f"one of {', '.join(known)}, or a place from 0 to {len(net.schedule) - 1}"
        raise InputError("features", expected, repr(wanted.features))
    return stages(net, seen.graph)[int(place)]


def _with_attention(seen: _Seen, wanted: Wanted) -> tuple[Batch, list[str]]:
    """The graph with weights as columns of ``edge_attr``, behind those that it has."""
    graph, wish = seen.graph, wanted.attention
    edges = getattr(graph, "edge_index", None)
    before = getattr(graph, "edge_attr", None)
    columns, parts = [], []
    if edges is not None and before is not None:
        parts.append(before[:, None] if before.dim() == 1 else before.flatten(1))
        columns += [f"edge_attr {k} of the edge builder" for k in range(parts[0].size(1))]
    weights: dict[int, Tensor] = {}
    if wish != "none" and edges is not None and seen.net is not None:
        weights = attention(seen.net, graph)
    chosen = _chosen(weights, wish)
    if not chosen and (before is None or before.dim() == 2):
        return graph, columns
    assert edges is not None
    assert seen.net is not None
    parts += [weights[place].reshape(-1, 1).to(graph.x.dtype) for place in chosen]
    columns += [f"attention of {seen.net.schedule[place]!r} at place {place}" for place in chosen]
    others = {name: value for name, value in edge_fields(graph).items() if name != "edge_attr"}
    out = attach_edges(graph, edges, torch.cat(parts, dim=1), check=False)
    return (attach_fields(out, edges=others) if others else out), columns


def _chosen(weights: Mapping[int, Tensor], wish: str | None) -> list[int]:
    """Places whose weights are kept."""
    known = sorted(weights)
    if wish == "none":
        return []
    if wish is None:
        return known[-1:]
    if wish == "all" and known:
        return known
    if not wish.isdigit() or int(wish) not in weights:
        expected = (
            f"none, or a stage that weighs edges: {', '.join(map(str, known)) or 'there is none'}"
        )
        raise InputError("attention", expected, repr(wish))
    return [int(wish)]


def _drop(graph: Batch, names: list[str]) -> None:
    graph._slice_dict, graph._inc_dict = dict(graph._slice_dict), dict(graph._inc_dict)
    for name in names:
        for held in (graph, graph._slice_dict, graph._inc_dict):
            if name in held:
                del held[name]


def _halved(graph: Batch) -> Batch:
    for name in ("x", "edge_attr", "kernel"):
        value = graph.to_dict().get(name)
        if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float64):
            half = value.half()
            if bool((half.isinf() & ~value.isinf()).any()):
                largest = float(value.abs().max())
                raise InputError("half", f"{name} below 65504", f"{largest:.3g}: keep it exactly")
            graph[name] = half
    return graph


def _rows(
    batch: Mapping[str, Any],
    logits: Tensor,
    lengths: Tensor,
    wanted: Wanted,
    clips: list[int],
    names: list[str],
    view: Tensor | None,
) -> dict[str, tuple[Any, Tensor]]:
    """What is known of clips, for each of their graphs."""
    graphs = lengths if wanted.graphs == "frames" else torch.ones_like(lengths)
    one = torch.ones(int(graphs.sum()), dtype=torch.long)
    index = batch.get("index")
    number = torch.tensor(clips)
    if isinstance(index, Tensor) and index.dim() == 1 and not index.is_floating_point():
        number = index.cpu().long()
    known = {"clip": number, "logits": logits.cpu()}
    if view is not None:
        known["view_id"] = view
    if "label" in batch:
        known["y"] = batch["label"].cpu().long()
    rows: dict[str, tuple[Any, Tensor]] = {
        name: (value.repeat_interleave(graphs, dim=0), one) for name, value in known.items()
    }
    called = batch.get("name", names)
    counted = zip(called, graphs.tolist(), strict=True)
    rows["name"] = ([str(name) for name, count in counted for _ in range(count)], one)
    mask = batch.get("frame_mask")
    for field, name in TRUTH.items():
        value = batch.get(field)
        if isinstance(value, Tensor) and value.dim() >= 3:
            each = take_frames(value, None if mask is None else mask).cpu()  # [F, M, …]
            rows[name] = (each, one if wanted.graphs == "frames" else lengths)
    return rows
