"""The documentation's pictures, of the small model that comes with the package.

    python benchmarks/pictures.py

Writes `docs/pictures`: an animation of the regions on two test clips, where they went, and whom
they attend to.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stgraph import viz
from stgraph.applications.demo import clips
from stgraph.applications.show import view
from stgraph.applications.trained import trained
from stgraph.viz.figures import figure_png
from stgraph.writing import write_whole

FOLDER = Path(__file__).resolve().parents[1] / "docs/pictures"
SHOWN = (0, 1)
"""Clips of the demonstration's test."""


def main() -> None:
    module, data = trained().module, clips("test", 10, seed=1)
    seen = [view(module, data, number) for number in SHOWN]
    drawn = [
        viz.region_frames(one.video, one.graph, box=one.box, marked=one.marked) for one in seen
    ]
    first = seen[0]
    frames = first.graph.to_data_list()
    alpha = viz.clip_edges(first.graph, first.alpha, len(frames) - 1)
    FOLDER.mkdir(exist_ok=True)
    made = [
        viz.write_animation(FOLDER / "regions.gif", torch.cat(drawn, dim=2)),
        write_whole(
            FOLDER / "paths.png",
            figure_png(viz.trajectories(first.video, first.graph, box=first.box)),
        ),
        write_whole(
            FOLDER / "attention.png",
            figure_png(viz.attention_graph(first.video[-1], frames[-1], alpha)),
        ),
    ]
    for path in made:
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
