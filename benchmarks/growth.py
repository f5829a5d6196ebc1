"""How cost grows: nodes, frames, sparse edges beside PyG's attention, insertion, start.

    python benchmarks/growth.py --json benchmarks/results/growth-cpu.json

All parts are called in turn, so that drift meets them alike. Times are of one process on one
thread (`--threads`), medians in seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from facts import collect, write
from measure import arguments, medians, ready
from speed import trained
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from stgraph import recipes
from stgraph.edges import FullEdges
from stgraph.graph import Layout, attach_edges, frame_graphs
from stgraph.insertion import insert
from stgraph.layers import SpaceLayer

NODES = (4, 9, 16, 64, 256, 1024)
FRAMES = (1, 4, 16, 64, 256, 512)
NEIGHBOURS = (8, 32)
RSTG_NODES = {14: (3, 2, 1), 30: (4, 3, 2, 1)}


def main() -> None:
    parser = arguments(__doc__, threads=1, repeat=7)
    options = parser.parse_args()
    device = ready(options)
    facts = collect(device, options.seed, threads=options.threads)
    made = {
        "nodes": medians(by_nodes(device), options.repeat, device),
        "frames": medians(by_frames(device), options.repeat, device),
        "rstg": medians(of_rstg(device), options.repeat, device),
        "sparse": medians(of_sparse(device), options.repeat, device),
        "insert": medians(of_insert(device), options.repeat, device),
        "start": of_start(options.repeat),
    }
    for part, rows in made.items():
        for name, seconds in rows.items():
            print(f"{part:8} {name:28} {1e3 * seconds:10.2f} ms")
    if options.json:
        write(options.json, facts | {"seconds": made})


def graph_of(nodes: int, neighbours: int | None, frames: int, width: int, device: torch.device):
    """Frames of nodes, each with so many neighbours on a ring; all pairs without."""
    graph = frame_graphs(
        {"x": torch.randn(1, frames, nodes, width, device=device)}, Layout(1, frames, nodes, 4, 4)
    )
    if neighbours is None:
        return FullEdges()(graph)
    target = torch.arange(frames * nodes, device=device).repeat_interleave(neighbours)
    step = torch.arange(1, neighbours + 1, device=device).repeat(frames * nodes)
    source = target // nodes * nodes + (target % nodes + step) % nodes
    return attach_edges(graph, torch.stack([source, target]))


def by_nodes(device: torch.device) -> dict[str, Callable[[], object]]:
    """A space layer of 64 channels on frames that have 4,096 nodes together, or one of more."""
    parts = {}
    for nodes in NODES:
        layer = SpaceLayer(64).to(device)
        frames = max(1, 256 // nodes)
        for kind, neighbours in {"full": None, "sparse": min(8, nodes - 1)}.items():
            graph = graph_of(nodes, neighbours, frames, 64, device)
            x = graph.x.requires_grad_()
            run = lambda layer=layer, x=x, graph=graph: layer(x, graph)  # noqa: E731
            parts[f"{frames} × {nodes} nodes, {kind}"] = trained(run, (*layer.parameters(), x))
    return parts


def by_frames(device: torch.device) -> dict[str, Callable[[], object]]:
    """MultiSyncMNIST's block on one clip of so many frames."""
    parts = {}
    for frames in FRAMES:
        block = recipes.dyreg_block(recipes.dyreg_regions(), 32, map_size=16).to(device)
        maps = torch.randn(1, frames, 32, 16, 16, device=device, requires_grad=True)
        run = lambda block=block, maps=maps: block(maps).features  # noqa: E731
        parts[f"{frames} frames"] = trained(run, (*block.parameters(), maps))
    return parts


def of_rstg(device: torch.device) -> dict[str, Callable[[], object]]:
    """RSTG's block of 512 channels on 2 clips of 8 frames."""
    parts = {}
    for nodes, scales in RSTG_NODES.items():
        block = recipes.rstg_block(512, scales=scales).to(device)
        maps = torch.randn(2, 8, 512, 7, 7, device=device, requires_grad=True)
        run = lambda block=block, maps=maps: block(maps).features  # noqa: E731
        parts[f"{nodes} nodes of 512"] = trained(run, (*block.parameters(), maps))
    return parts


def of_sparse(device: torch.device) -> dict[str, Callable[[], object]]:
    """A space layer and PyG's attention of the same width on graphs of 1,024 nodes."""
    parts = {}
    for neighbours in NEIGHBOURS:
        graph = graph_of(1024, neighbours, 1, 64, device)
        x = graph.x.requires_grad_()
        ours = SpaceLayer(64, path="sparse").to(device)
        theirs = GATv2Conv(64, 64, add_self_loops=False).to(device)
        edges = graph.edge_index
        parts[f"{neighbours} neighbours, space layer"] = trained(
            lambda ours=ours, x=x, graph=graph: ours(x, graph), (*ours.parameters(), x)
        )
        parts[f"{neighbours} neighbours, GATv2Conv"] = trained(
            lambda theirs=theirs, x=x, edges=edges: theirs(x, edges), (*theirs.parameters(), x)
        )
    return parts


def of_insert(device: torch.device) -> dict[str, Callable[[], object]]:
    """A small CNN, and the same through `insert` with a block that does next to nothing."""
    cnn = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)).to(device).eval()
    net = insert(cnn, {"0": Nothing()}, input_size=(3, 8, 8)).to(device).eval()
    video = torch.randn(1, 4, 3, 8, 8, device=device)
    return {
        "the CNN": torch.no_grad()(lambda: cnn(video.flatten(0, 1))),
        "the CNN with a block": torch.no_grad()(lambda: net(video)),
    }


class Out(NamedTuple):
    """What a block returns."""

    features: Tensor
    state: Any


class Nothing(nn.Module):
    """A block that returns what comes."""

    causal = True

    def forward(self, features: Tensor, state: Any = None) -> Out:
        """See the class."""
        return Out(features, state)


def of_start(repeat: int) -> dict[str, float]:
    """The least time to print help, each in a new process."""
    made = {}
    for words in (["--help"], ["fit", "--help"]):
        times = []
        for _ in range(min(repeat, 5)):
            start = time.perf_counter()
            command = [sys.executable, "-m", "stgraph", *words]
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        made["stgraph " + " ".join(words)] = min(times)
    return made


if __name__ == "__main__":
    main()
