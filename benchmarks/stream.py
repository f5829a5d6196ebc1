"""A stream through a causal DyReG block: what a frame takes, and whether memory grows.

    python benchmarks/stream.py --frames 10000 --json benchmarks/results/stream-cpu.json
    python benchmarks/stream.py --frames 10000 --compiled

The first frames, in which a compiled block compiles, do not count; after them Python's collector is
told to leave alone what is there, as a service would. Latency is told as percentiles, by the clock
and in the process's own time, which other programs hardly change. Memory is what the state and the
process hold after a tenth of the frames, and at the end; on a GPU what tensors hold there.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from facts import collect, write
from measure import arguments, ready, waiting
from torch import Tensor
from torch.utils import _pytree as pytree

from stgraph import recipes
from stgraph.model import GraphBlock

CHANNELS, SIDE = 256, 14
WARM = 50
"""Frames before those that count."""


def main() -> None:
    parser = arguments(__doc__, threads=1)
    parser.add_argument("--frames", type=int, default=2000, help="how long the stream is")
    parser.add_argument("--compiled", action="store_true", help="the block by torch.compile")
    options = parser.parse_args()
    device = ready(options)
    about = {name: getattr(options, name) for name in ("threads", "frames", "compiled")}
    facts = collect(device, options.seed, **about)
    block: Callable[..., Any] = block_of(device)
    if options.compiled:
        block = torch.compile(block, fullgraph=True)
    made = run(block, options.frames, device)
    for name, seconds in made["seconds"].items():
        print(f"{name:28} {1e3 * seconds:10.2f} ms")
    for name, (early, late) in made["bytes"].items():
        print(f"{name:28} {early:14,} bytes, at the end {late:,}")
    if options.json:
        write(options.json, facts | made)


def block_of(device: torch.device) -> GraphBlock:
    """A causal DyReG block at 14×14×256."""
    regions = recipes.dyreg_regions(CHANNELS, 9, SIDE)
    return recipes.dyreg_block(regions, CHANNELS, SIDE).to(device).eval()


@torch.inference_mode()
def run(block: Callable[..., Any], frames: int, device: torch.device) -> dict[str, Any]:
    """Pass so many frames one by one; seconds of a frame, and bytes early and late."""
    frame = torch.randn(1, 1, CHANNELS, SIDE, SIDE, device=device)
    wait, state = waiting(device), None
    clock, own = [], []
    held: list[dict[str, int]] = []
    try:
        for number in range(WARM + frames):
            start, spent = time.perf_counter(), time.process_time()
            state = block(frame, state).state
            wait()
            clock.append(time.perf_counter() - start)
            own.append(time.process_time() - spent)
            if number + 1 == WARM:
                gc.collect()
                gc.freeze()
            if number - WARM + 1 in (max(1, frames // 10), frames):
                held.append({"the state": bytes_of(state), "the process": resident(device)})
    finally:
        gc.unfreeze()
    return {
        "seconds": percentiles(clock[WARM:], "a frame")
        | percentiles(own[WARM:], "a frame, process time"),
        "bytes": {name: [held[0][name], held[-1][name]] for name in held[0]},
    }


def percentiles(values: list[float], name: str) -> dict[str, float]:
    """The 50th and the 99th."""
    ranked = sorted(values)
    return {f"{name}, p{share}": ranked[len(ranked) * share // 100] for share in (50, 99)}


def bytes_of(state: Any) -> int:
    """Memory that a state holds, with all of what its tensors are views of."""
    held = {}
    for leaf in pytree.tree_leaves(state):
        if isinstance(leaf, Tensor):
            storage = leaf.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
    return sum(held.values())


def resident(device: torch.device) -> int:
    """Memory that tensors hold on a GPU, or that this process holds (on Linux)."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
