"""What a DyReG block spends on its graphs, and what each path of the space layer costs.

    python benchmarks/block.py                       # CPU, MultiSyncMNIST's block
    python benchmarks/block.py --device cuda --clips 64 --json block.json

Prints times and, above all, ratios measured in one run: frame graphs against the whole block, the
sparse path against the dense one, PyG's own batching of the same graphs against ours.
"""

from __future__ import annotations

import torch
from facts import collect, write
from measure import arguments, medians, ready
from torch_geometric.data import Batch

from stgraph import recipes
from stgraph.edges import FullEdges, GridEdges
from stgraph.graph import Layout, frame_graphs, to_dense
from stgraph.layers import SpaceLayer


@torch.no_grad()
def main() -> None:
    parser = arguments(__doc__, threads=2, repeat=15)
    parser.add_argument("--clips", type=int, default=4, help="clips of 10 frames a call")
    options = parser.parse_args()
    device = ready(options)
    block = recipes.dyreg_block(recipes.dyreg_regions(), 128, map_size=16).to(device).eval()
    features = torch.randn(options.clips, 10, 128, 16, 16, device=device)
    graph = block(features).graph
    layout = Layout(options.clips, 10, 9, 16, 16)
    names = ("x", "pos", "box", "kernel", "mass", "window")
    fields = {name: to_dense(graph[name], graph).clone() for name in names}
    x = torch.randn(graph.num_nodes, 32, device=device)
    cells = torch.randn(options.clips, 10, 14, 32, device=device)
    box = torch.rand(options.clips, 10, 14, 4, device=device)
    grid = GridEdges()(
        frame_graphs({"x": cells, "box": box}, Layout(options.clips, 10, 14, 16, 16))
    )
    dense, sparse = (SpaceLayer(32, path=path).to(device) for path in ("dense", "sparse"))
    graphs = graph.to_data_list()
    rows = cells.flatten(0, 2)
    figures = medians(
        {
            "block": lambda: block(features),
            "frame graphs": lambda: FullEdges()(frame_graphs(fields, layout)),
            "frame graphs by PyG": lambda: Batch.from_data_list(graphs),
            "full graph, dense": lambda: dense(x, graph),
            "full graph, sparse": lambda: sparse(x, graph),
            "grid graph, dense": lambda: dense(rows, grid),
            "grid graph, sparse": lambda: sparse(rows, grid),
        },
        options.repeat,
        device,
    )
    ratios = {
        "frame graphs / block": figures["frame graphs"] / figures["block"],
        "frame graphs by PyG / ours": figures["frame graphs by PyG"] / figures["frame graphs"],
        "full graph, sparse / dense": figures["full graph, sparse"] / figures["full graph, dense"],
        "grid graph, sparse / dense": figures["grid graph, sparse"] / figures["grid graph, dense"],
    }
    facts = collect(device, options.seed, clips=options.clips, threads=options.threads)
    for name, value in figures.items():
        print(f"{name:28}{1e3 * value:10.3f} ms")
    for name, value in ratios.items():
        print(f"{name:28}{value:10.3f}")
    if options.json:
        write(options.json, facts | {"seconds": figures, "ratios": ratios})


if __name__ == "__main__":
    main()
