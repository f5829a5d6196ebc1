"""Whole models: what graphs cost beside their CNN, and how fast the papers' ones train.

    python benchmarks/models.py --json benchmarks/results/models-cpu.json
    python benchmarks/models.py --device cuda --precision bf16 --compiled

TSM-ResNet-50 without graphs and with those of r4 and r3-4-5 answers clips in turn. What graphs add
to its time stands beside what they add to its multiply-accumulates, and beside the time of the
graph blocks by themselves, since on a busy machine a few percent of a CNN are soon lost. Full
DyReG on MultiSyncMNIST and the demonstration's dynamic model train as `stgraph fit` does, data
included, and in turn with them their data are made alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from facts import collect, write
from fitting import Training, demonstration, fit, full, load, quiet
from macs import TABLES, cost
from measure import arguments, ready, turns
from torch import Tensor, nn

from stgraph.model import GraphBlock

CLIP = (16, 3, 224, 224)
PAPER = {"DyReG r4": 34.8 / 35.7, "DyReG r3-4-5": 32.7 / 35.7}
"""Speed beside that of TSM-ResNet-50, from DyReG's videos a second on one GPU."""
STEPS = {"demonstration": 10, "full": 2}
"""Steps of a turn on a CPU; ten times as many on a GPU."""


def main() -> None:
    parser = arguments(__doc__, threads=2, repeat=7)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compiled", action="store_true", help="models run by torch.compile")
    parser.add_argument("--clips", type=int, help="clips an answer; 1, and 32 on a GPU")
    parser.add_argument("--batch", type=int, help="MultiSyncMNIST's clips a step; 8, GPU: 256")
    options = parser.parse_args()
    device = ready(options)
    on_gpu = device.type == "cuda"
    clips = options.clips or (32 if on_gpu else 1)
    batch = options.batch or (256 if on_gpu else 8)
    facts = collect(
        device,
        options.seed,
        threads=options.threads,
        precision=options.precision,
        compiled=options.compiled,
        clips=clips,
    )
    answering = answers(models(), clips, options, device)
    tell("answering", answering)
    trainings = {"demonstration": demonstration(), "full": full(batch)}
    training = train(trainings, 10 if on_gpu else 1, options, device)
    tell("training", training)
    if options.json:
        write(options.json, facts | {"answering": answering, "training": training, "paper": PAPER})


def models() -> dict[str, Callable[[], nn.Module]]:
    """TSM-ResNet-50 and those with graphs."""
    return {row.name: row.make for row in TABLES[CLIP]}


def answers(
    makers: dict[str, Callable[[], nn.Module]], clips: int, options: Any, device: torch.device
) -> dict[str, dict[str, float]]:
    """Clips a second of models in evaluation; of those after the first, what they add to it."""
    video = torch.randn(clips, *CLIP, device=device)
    macs = {name: cost(make, CLIP).macs for name, make in makers.items()}
    made = {name: make().eval().to(device) for name, make in makers.items()}
    with torch.no_grad(), autocast(options.precision, device):
        parts: dict[str, Callable[[], object]] = {}
        for name, model in made.items():
            parts[name] = lambda model=model: model(video)
            if (blocks := alone(model, video)) is not None:
                parts[f"{name}, blocks"] = blocks
        if options.compiled:
            parts = {name: torch.compile(part, fullgraph=True) for name, part in parts.items()}
        times = turns(parts, options.repeat, device, warm=1)
    first = next(iter(makers))
    figures = {}
    for name in makers:
        figures[name] = {"clips/s": clips / statistics.median(times[name]), "macs": macs[name]}
        if name != first:
            share = macs[name] / macs[first] - 1
            figures[name] |= added(times[first], times[name], times[f"{name}, blocks"], share)
    return figures


def added(
    base: list[float], whole: list[float], blocks: list[float], share: float
) -> dict[str, float]:
    """What graphs add to a CNN's time, turn by turn, beside their share of its arithmetic."""
    more = [one / other - 1 for one, other in zip(whole, base, strict=True)]
    alone = statistics.median(one / other for one, other in zip(blocks, base, strict=True))
    typical = statistics.median(more)
    return {
        "speed beside": 1 / (1 + typical),
        "added macs": share,
        "added time": typical,
        "added time, least": min(more),
        "added time, most": max(more),
        "blocks alone": alone,
        "added time / added macs": typical / share,
        "blocks alone / added macs": alone / share,
    }


def alone(model: nn.Module, video: Tensor) -> Callable[[], object] | None:
    """A call of a model's graph blocks by themselves, on maps like those that they get there."""
    maps: dict[GraphBlock, Tensor] = {}

    def note(block: Any, given: tuple[Any, ...]) -> None:
        maps[block] = torch.randn_like(given[0])

    blocks = [each for each in model.modules() if isinstance(each, GraphBlock)]
    hooks = [block.register_forward_pre_hook(note) for block in blocks]
    model(video)
    for hook in hooks:
        hook.remove()
    return (lambda: [block(features) for block, features in maps.items()]) if maps else None


def train(
    trainings: dict[str, Training], longer: int, options: Any, device: torch.device
) -> dict[str, dict[str, float]]:
    """Steps and clips a second of trainings, and clips a second of their data alone."""
    precision = {"fp32": "32-true", "bf16": "bf16-mixed"}[options.precision]
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in trainings}
    if options.compiled:
        for training in trainings.values():
            training.module.model.compile(fullgraph=True)
    with quiet():
        for _ in range(max(1, options.repeat // 2)):
            for name, training in trainings.items():
                steps = STEPS[name] * longer
                fitted = fit(training, steps, device, precision, warm=max(1, steps // 5)).clock
                seen[name].append((steps / fitted, steps / load(training, steps, device)))
    figures = {}
    for name, rates in seen.items():
        steps_a_second, batches = (statistics.median(each) for each in zip(*rates, strict=True))
        batch = trainings[name].batch
        figures[name] = {
            "batch": batch,
            "steps/s": steps_a_second,
            "clips/s": batch * steps_a_second,
            "data alone, clips/s": batch * batches,
            "data / training": batches / steps_a_second,
        }
    return figures


def autocast(precision: str, device: torch.device) -> Any:
    """Half precision where it is asked for."""
    half = precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()


def tell(part: str, figures: dict[str, dict[str, float]]) -> None:
    """Print what was measured."""
    for name, values in figures.items():
        print(f"\n{part}: {name}")
        for what, value in values.items():
            print(f"  {what:28} {value:,.4g}")


if __name__ == "__main__":
    main()
