"""DyReG's block beside a straightforward one of the same weights: time, memory, operators.

    python benchmarks/speed.py                                  # CPU, two threads
    python benchmarks/speed.py --threads 1 --json speed.json
    python benchmarks/speed.py --device cuda --precision bf16 --compiled reduce-overhead

The straightforward block is the structure of the official code in plain PyTorch with fused GRUs
(`straightforward.py`; a test holds both to equal outputs and gradients). Both are timed in turn in
one run, so that what counts are ratios. Beside them stand a plain matrix product and a plain copy:
the least time that the block's multiply-accumulates and its inputs and outputs could take here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from facts import collect, write
from measure import arguments, medians, ready
from straightforward import Straightforward
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from stgraph import recipes
from stgraph.model import GraphBlock

CONFIGURATIONS = {
    "MultiSyncMNIST": (8, 10, 32, 16, 32),
    "layer2 of ResNet-50": (2, 16, 128, 28, 128),
    "layer3 of ResNet-50": (2, 16, 256, 14, 256),
    "layer4 of ResNet-50": (2, 16, 512, 7, 256),
}
"""(B, T, C, H, width) of the blocks that are measured."""

MODES = ("default", "reduce-overhead")
"""How torch.compile works; the second one uses CUDA graphs."""


class Calls(TorchDispatchMode):
    """Counts calls of PyTorch's operators: what a GPU launches, at least."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def main() -> None:
    parser = arguments(__doc__, threads=2, repeat=9)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compiled", choices=MODES, help="our block by torch.compile, in a mode")
    options = parser.parse_args()
    device = ready(options)
    about = {name: getattr(options, name) for name in ("threads", "precision", "compiled")}
    facts = collect(device, options.seed, **about)
    half = options.precision == "bf16"
    rows = {}
    for name, sizes in CONFIGURATIONS.items():
        with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
            rows[name] = compare(sizes, options.repeat, device, options.compiled)
        tell(name, sizes, rows[name])
    if options.json:
        write(options.json, facts | {"blocks": rows})


def block_of(sizes: tuple[int, ...], device: torch.device) -> GraphBlock:
    """A DyReG block of these sizes, with weights that are not those of the start."""
    _, _, channels, side, width = sizes
    block = recipes.dyreg_block(recipes.dyreg_regions(width, 9, side), channels, side)
    with torch.no_grad():
        block.norm.weight.fill_(1.0)
        block.net.nodes.alpha.fill_(0.5)
    return block.to(device)


def compare(
    sizes: tuple[int, ...], repeat: int, device: torch.device, mode: str | None = None
) -> dict[str, Any]:
    """Measure a block and the straightforward one.

    Where ours is compiled, times are those of its program, beside the straightforward block as it
    is; operators and what is kept are counted of our block as it is, since nobody can look into a
    program.
    """
    block = block_of(sizes, device)
    plain = Straightforward(block)
    features = torch.randn(*sizes[:4], sizes[3], device=device, requires_grad=True)
    learned = (*block.parameters(), features)
    run = block if mode is None else torch.compile(block, fullgraph=True, mode=mode)
    looked_into = {"stgraph": lambda: block(features).features, "plain": lambda: plain(features)}
    timed = looked_into | {"stgraph": lambda: run(features).features}
    ours, theirs = (forward().detach() for forward in timed.values())
    made: dict[str, Any] = {"sizes": list(sizes)}
    made["difference"] = float((ours - theirs).abs().max() / theirs.abs().max())
    seconds = medians(
        {
            **{f"{name}, forward": inferred(forward) for name, forward in timed.items()},
            **{f"{name}, both": trained(forward, learned) for name, forward in timed.items()},
            **roofline(macs_of(inferred(lambda: block(features.detach()))), features),
        },
        repeat,
        device,
    )
    made["seconds"] = seconds
    for which in ("forward", "both"):
        made[f"ratio, {which}"] = seconds[f"plain, {which}"] / seconds[f"stgraph, {which}"]
    for name, forward in looked_into.items():
        made[name] = {
            "saved": saved_by(forward),
            "calls, forward": calls_of(inferred(forward)),
            "calls, both": calls_of(trained(forward, learned)),
        }
    made["ratio, saved"] = made["plain"]["saved"] / made["stgraph"]["saved"]
    return made


def inferred(forward: Callable[[], Tensor]) -> Callable[[], object]:
    """A forward pass without gradients."""
    return torch.no_grad()(forward)


def trained(forward: Callable[[], Tensor], learned: Iterable[Tensor]) -> Callable[[], object]:
    """A forward and a backward pass, whose gradients are not added to those of the last one.

    Args:
        forward: what is differentiated.
        learned: all that gets gradients: parameters, and features that want some.
    """
    learned = tuple(learned)
    with torch.no_grad():
        slope = torch.ones_like(forward())  # what comes from behind, and is none of its work

    def both() -> None:
        for each in learned:
            each.grad = None
        forward().backward(slope)

    return both


def macs_of(part: Callable[[], object]) -> int:
    """Multiply-accumulates of a call: of products and convolutions."""
    counter = FlopCounterMode(display=False)
    with counter:
        part()
    return counter.get_total_flops() // 2


def roofline(macs: int, features: Tensor) -> dict[str, Callable[[], object]]:
    """A product of so many multiply-accumulates, and a copy of the maps."""
    rows = max(1, macs // (512 * 512))
    one = torch.randn(rows, 512, device=features.device)
    other = torch.randn(512, 512, device=features.device)
    maps = features.detach()
    return {"matmul of its MACs": lambda: one @ other, "copy of its maps": lambda: maps.clone()}


def saved_by(forward: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward pass, beside parameters."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not tensor.is_leaf:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = forward()
    del alive
    return sum(kept.values())


def calls_of(part: Callable[[], object]) -> int:
    """How many operators a call runs."""
    calls = Calls()
    with calls:
        part()
    return calls.count


def tell(name: str, sizes: tuple[int, ...], made: dict[str, Any]) -> None:
    """Print a configuration's figures."""
    milli = {part: 1e3 * value for part, value in made["seconds"].items()}
    print(f"\n{name} {sizes}: outputs differ by {made['difference']:.1e}")
    for which in ("forward", "both"):
        here, there = milli[f"stgraph, {which}"], milli[f"plain, {which}"]
        calls = [made[part][f"calls, {which}"] for part in ("plain", "stgraph")]
        print(
            f"  {which:8} {there:8.1f} / {here:8.1f} ms = {there / here:5.2f} ×   "
            f"operators {calls[0]} / {calls[1]}"
        )
    kept = [made[part]["saved"] / 2**20 for part in ("plain", "stgraph")]
    print(f"  saved    {kept[0]:8.1f} / {kept[1]:8.1f} MiB = {kept[0] / kept[1]:4.2f} ×")
    print(
        f"  roofline: matmul {milli['matmul of its MACs']:.1f} ms, "
        f"copy {milli['copy of its maps']:.2f} ms"
    )


if __name__ == "__main__":
    main()
