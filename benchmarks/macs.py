"""Parameters and multiply-accumulates of the papers' models, as a table for docs/costs.md.

    python benchmarks/macs.py
    python benchmarks/macs.py --json macs.json

Counted are those of convolutions and matrix products on one clip, by PyTorch's own counter, in
evaluation mode and on the meta device, where nothing is computed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from facts import collect, write
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stgraph import recipes
from stgraph.edges import FullEdges
from stgraph.nodes import DynamicRegions, FixedRegions, NodeExtractor, SemanticNodes, SmallGenerator

Clip = tuple[int, int, int, int]


class Paper(NamedTuple):
    """What DyReG's paper prints of a model, be it its own or another's."""

    parameters: float
    """In millions."""
    macs: float | None = None
    """In 1e9; the usual counters, which papers use, count norms and activations too."""
    clips: float | None = None
    """Clips a second, 16 at a time on a GTX 1080 Ti."""


class Row(NamedTuple):
    """A model of the table."""

    name: str
    make: Callable[[], nn.Module]
    on: str = ""
    """Which row it adds graphs or blocks to."""
    official: float | None = None
    """What the official code takes, in 1e9 multiply-accumulates; counted in the same way."""
    paper: Paper | None = None


class Cost(NamedTuple):
    """What a model costs."""

    parameters: int
    macs: float


def multi(nodes: NodeExtractor) -> nn.Module:
    return recipes.dyreg_multi_sync_mnist(nodes=nodes)


def fixed() -> NodeExtractor:
    return FixedRegions(32, edges=FullEdges())


def semantic() -> NodeExtractor:
    return SemanticNodes(32, edges=FullEdges())


def lite() -> NodeExtractor:
    return DynamicRegions(32, edges=FullEdges(), generator=SmallGenerator(32, spare_norm=True))


def r4() -> nn.Module:
    return recipes.dyreg_tsm_resnet50(places=("layer3.4.conv2",))


TSM, RESNET, I3D, SMALL_I3D = "TSM-ResNet-50", "ResNet-18, three stages", "I3D", "I3D, small"

# Models by the clip that they see [T, c, H, W].
TABLES: dict[Clip, list[Row]] = {
    (16, 3, 224, 224): [
        Row(TSM, recipes.tsm_resnet50, "", 65.40, Paper(23.9, 65.8, 35.7)),
        Row("DyReG r4", r4, TSM, 66.03, Paper(25.7, 66.4, 34.8)),
        Row("DyReG r3-4-5", recipes.dyreg_tsm_resnet50, TSM, 67.10, Paper(28.7, 67.4, 32.7)),
    ],
    (32, 3, 224, 224): [
        Row("C2D", recipes.c2d),
        Row(I3D, recipes.i3d, paper=Paper(28.0, 153.0)),
        Row("Non-Local", recipes.non_local_i3d, I3D, paper=Paper(35.3, 168.0)),
        Row("RSTG-to-vec", recipes.rstg_to_vec, I3D),
        Row("RSTG-to-map res3-4", recipes.rstg_to_map, I3D),
    ],
    (10, 1, 128, 128): [
        Row(RESNET, recipes.resnet18_multi_sync_mnist, "", 4.32, Paper(2.790)),
        Row("DyReG fixed", lambda: multi(fixed()), RESNET, paper=Paper(2.824)),
        Row("DyReG semantic", lambda: multi(semantic()), RESNET, paper=Paper(2.853)),
        Row("DyReG lite", lambda: multi(lite()), RESNET, 4.353, Paper(2.833)),
        Row("DyReG full", recipes.dyreg_multi_sync_mnist, RESNET, 4.365, Paper(3.081)),
    ],
    (10, 1, 64, 64): [
        Row("Mean + LSTM", recipes.mean_lstm),
        Row("Conv + LSTM", recipes.conv_lstm),
        Row(SMALL_I3D, recipes.i3d_sync_mnist),
        Row("Non-Local, small", recipes.non_local_sync_mnist, SMALL_I3D),
        Row("RSTG-to-vec", recipes.rstg_sync_mnist),
    ],
}


def cost(make: Callable[[], nn.Module], clip: Clip) -> Cost:
    """Count parameters, and multiply-accumulates of one clip."""
    # On the CPU, LSTMs run as one operation that the counter does not know.
    model = make().eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *clip, device="meta"))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, counter.get_total_flops() / 2)


def table(clip: Clip, rows: list[Row]) -> tuple[list[str], dict[str, Cost]]:
    """Return the lines of a table, and its figures."""
    frames, _, height, width = clip
    with_official = any(row.official for row in rows)
    head = ["model", "parameters", "G multiply-accumulates", "added"]
    head += ["official code", "added"] if with_official else []
    papers = [row.paper for row in rows if row.paper is not None]
    with_macs = any(paper.macs for paper in papers)
    head += ["paper, M parameters"] * bool(papers) + ["paper, G"] * with_macs
    lines = [f"One clip of {frames}×{height}×{width}:", "", _line(head), _line(["---"] * len(head))]
    costs = {row.name: cost(row.make, clip) for row in rows}
    macs = {name: cost.macs / 1e9 for name, cost in costs.items()}
    official = {row.name: row.official for row in rows}
    for row in rows:
        cells = [row.name, f"{costs[row.name].parameters:,}", *_figures(row, macs)]
        cells += _figures(row, official) * with_official
        paper = row.paper or Paper(0.0)
        cells += [_printed(paper.parameters)] * bool(papers) + [_printed(paper.macs)] * with_macs
        lines.append(_line(cells))
    return lines, costs


def _figures(row: Row, of: Mapping[str, float | None]) -> list[str]:
    """A model's figure, and what it is more than that of the model that it adds to."""
    value, base = of[row.name], of.get(row.on)
    added = None if value is None or base is None else value - base
    return ["" if value is None else f"{value:.2f}", "" if added is None else f"+{added:.3f}"]


def _printed(value: float | None) -> str:
    """A published number as it is printed; nothing where there is none."""
    return f"{value:.3f}".removesuffix("00") if value else ""


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures = {}
    for clip, rows in TABLES.items():
        lines, costs = table(clip, rows)
        print("\n".join([*lines, ""]))
        figures["×".join(map(str, clip))] = {name: c._asdict() for name, c in costs.items()}
    if options.json:
        write(options.json, collect(torch.device("meta"), 0) | {"macs": figures})


if __name__ == "__main__":
    main()
