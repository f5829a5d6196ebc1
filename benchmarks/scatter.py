"""Whether torch-scatter would help: messages along edges by index, and by its sorted segments.

    python benchmarks/scatter.py                     # needs torch-scatter
    python benchmarks/scatter.py --device cuda --json scatter.json

Where torch-scatter is installed PyG takes it for segments; sums by index never reach it. So calls
of it are counted, of one forward and backward of a space layer's sparse path and of its parts.
Segments need edges sorted by target and pointers to where each target's edges begin; what these
cost is timed too, and the ratios are of one run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

import torch
import torch_geometric
from facts import collect, write
from measure import arguments, medians, ready
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.utils import cumsum, degree, segment, softmax

from stgraph.edges import GridEdges, NearestEdges
from stgraph.layers import SpaceLayer
from stgraph.nodes import GridNodes, PointNodes


def entered(run: Callable[[], object]) -> int:
    """How many calls of torch-scatter's functions in Python ``run`` makes; 0 without it."""
    if not torch_geometric.typing.WITH_TORCH_SCATTER:
        run()
        return 0
    import torch_scatter

    with ExitStack() as stack:
        made = [
            stack.enter_context(mock.patch.object(torch_scatter, name, wraps=function))
            for name, function in inspect.getmembers(torch_scatter, inspect.isfunction)
        ]
        run()
        return sum(one.call_count for one in made)


def pointers(target: Tensor, nodes: int) -> Tensor:
    """Where the edges of each target begin, of sorted targets ``[V + 1]``."""
    return cumsum(degree(target, nodes, dtype=torch.long))


def by_index(score: Tensor, message: Tensor, target: Tensor, nodes: int) -> Tensor:
    """Softmax over the edges of each target and weighted sum, by index."""
    alpha = softmax(score, target, num_nodes=nodes)
    return torch_geometric.utils.scatter(alpha * message, target, 0, nodes)


def by_segment(score: Tensor, message: Tensor, ptr: Tensor) -> Tensor:
    """The same of sorted edges, by segments."""
    return segment(softmax(score, ptr=ptr) * message, ptr)


def main() -> None:
    parser = arguments(__doc__, threads=2, repeat=15)
    parser.add_argument("--clips", type=int, default=4, help="clips of 10 frames a call")
    parser.add_argument("--channels", type=int, default=64)
    options = parser.parse_args()
    if not torch_geometric.typing.WITH_TORCH_SCATTER:
        raise SystemExit("torch-scatter is not installed (make test builds it into .venv/scatter)")
    device, width = ready(options), options.channels
    features = torch.randn(options.clips, 10, width, 14, 14, device=device)
    graphs: dict[str, Batch] = {
        "grid": GridNodes(width, edges=GridEdges())(features)[0],
        "14×14 points, 8 nearest": PointNodes(width, edges=NearestEdges(8))(features)[0],
    }
    parts: dict[str, Callable[[], object]] = {}
    for name, graph in graphs.items():
        layer = SpaceLayer(width, path="sparse").to(device)
        x = torch.randn(graph.num_nodes, width, device=device, requires_grad=True)
        order = graph.edge_index[1].argsort(stable=True)
        target, nodes = graph.edge_index[1][order], graph.num_nodes
        score = torch.randn(len(order), 1, device=device, requires_grad=True)
        message = torch.randn(len(order), width, device=device, requires_grad=True)
        ptr = pointers(target, nodes)

        def step(run: Callable[[], Tensor]) -> Callable[[], None]:
            def call() -> None:
                with torch.enable_grad():
                    run().sum().backward()

            return call

        def layered(layer: SpaceLayer = layer, x: Tensor = x, graph: Batch = graph) -> Tensor:
            return layer(x, graph)

        def indexed(
            score: Tensor = score, m: Tensor = message, target: Tensor = target, n: int = nodes
        ) -> Tensor:
            return by_index(score, m, target, n)

        def segmented(score: Tensor = score, m: Tensor = message, ptr: Tensor = ptr) -> Tensor:
            return by_segment(score, m, ptr)

        def sorting(target: Tensor = graph.edge_index[1], n: int = nodes) -> Tensor:
            order = target.argsort(stable=True)
            return pointers(target[order], n)

        parts |= {
            f"{name}: layer": step(layered),
            f"{name}: gather by index": step(indexed),
            f"{name}: gather by segment": step(segmented),
            f"{name}: sort and point": sorting,
        }
    calls = {name: entered(part) for name, part in parts.items()}
    figures = medians(parts, options.repeat, device)
    ratios = {}
    for name in graphs:
        index, segments = figures[f"{name}: gather by index"], figures[f"{name}: gather by segment"]
        sorted_segments = segments + figures[f"{name}: sort and point"]
        ratios |= {
            f"{name}: gather, segment / index": segments / index,
            f"{name}: gather, segment and sorting / index": sorted_segments / index,
            f"{name}: (index − segment) / layer": (index - segments) / figures[f"{name}: layer"],
        }
    facts = collect(device, options.seed, clips=options.clips, threads=options.threads)
    for name, value in figures.items():
        print(f"{name:52}{1e3 * value:10.3f} ms, {calls[name]} calls into torch-scatter")
    for name, value in ratios.items():
        print(f"{name:52}{value:10.3f}")
    if options.json:
        write(options.json, facts | {"seconds": figures, "ratios": ratios, "calls": calls})


if __name__ == "__main__":
    main()
