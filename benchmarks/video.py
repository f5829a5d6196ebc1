"""How fast videos are decoded, read, loaded and trained on, side by side in one run.

    python benchmarks/video.py --json benchmarks/results/video-cpu.json

The videos are made first: two digits over a moving texture, 48 frames, in several codecs and sizes.
What costs is measured in turn, so that drift meets all alike, in seconds of a core, which other
processes of the machine hardly change; loaders with workers by the clock:

``decode``  PyAV alone, every frame of the file, left as the codec has it
``colour``  the same, turned into red, green and blue
``read``    the frames of a clip by number, as training asks for them: one of each of 16 segments
``loader``  clips of 16 × 224 × 224 from random views, with 0, 1 and 2 workers
``train``   steps of DyReG on TSM-ResNet-18 on clips that are in memory
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from facts import collect, write
from torch.nn import functional as F

from stgraph import recipes
from stgraph.datasets import ItemLoader, sklearn_digits
from stgraph.datasets.draws import words
from stgraph.datasets.videos import Entry, Segments, TrainClips, VideoClips, decoder, open_video
from stgraph.datasets.videos.moving_digits import MovingDigits
from stgraph.datasets.videos.reading import reformatter

CODECS = {
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"}),
    "h264": ("mp4", "libx264", {"preset": "veryfast", "g": "12"}),
    "mpeg4": ("mp4", "mpeg4", {"g": "12", "qscale": "4"}),
}
SIZES = ((240, 320), (480, 640))
LENGTH, CLIP, SIDE = 48, 16, 224
NODES, CHANNELS = 9, 256
SETS = {"Something-Something v2": 220_847, "100 million clips": 100_000_000}
"""Clips of the data sets that the page plans for."""


class Rate(NamedTuple):
    """Units a second."""

    clock: float
    """By the clock."""
    core: float
    """Of a core of this process; workers are others."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=8, help="files of each codec and size")
    parser.add_argument("--clips", type=int, default=48, help="clips of each measure of a loader")
    parser.add_argument("--repeat", type=int, default=3, help="measures of each, in turn")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a training step")
    parser.add_argument("--device", default="cpu", help="where the model trains")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        files = make(Path(folder), options.videos, options.seed)
        of_files = {name: measure_files(paths, options.repeat) for name, paths in files.items()}
        paths = files["vp9 240 × 320"]
        loader = measure_loader(paths, options.clips, options.repeat)
        entry = bytes_of_entry(paths[0])
    torch.set_num_threads(options.threads)
    train = measure_training(device, options.repeat)
    facts = collect(
        device, options.seed, cores=os.cpu_count(), threads=options.threads, **decoder()
    )
    facts |= {
        "files": of_files,
        "loader": {workers: rate.clock for workers, rate in loader.items()},
        "train": train.clock,
        "a core": {"loader": loader["0"].core, "train": train.core},
        "entry": entry,
    }
    alone = of_files["vp9 240 × 320"]
    facts["ratios"] = {
        "in colour / PyAV alone": alone["colour"] / alone["decode"],
        "frames read / PyAV alone": alone["read"] / alone["decode"],
        "loader / clips read, a core": loader["0"].core / alone["clips"],
        "loader / train, a core": loader["0"].core / train.core,
        **{f"loader, {w} workers / train": rate.clock / train.clock for w, rate in loader.items()},
    }
    print("\n".join(table(facts)))
    if options.json:
        write(options.json, facts)


def make(folder: Path, count: int, seed: int) -> dict[str, list[Path]]:
    """Files of each codec and size."""
    found = {}
    for height, width in SIZES:
        videos = MovingDigits(
            sklearn_digits("train"), count, seed, height, width, height // 4, (LENGTH, LENGTH)
        )
        frames = [videos[number].frames for number in range(count)]
        for codec, (ending, name, options) in CODECS.items():
            paths = [folder / f"{codec}{height}_{number}.{ending}" for number in range(count)]
            for path, pixels in zip(paths, frames, strict=True):
                _encode(path, name, options, pixels)
            found[f"{codec} {height} × {width}"] = paths
    return found


def _encode(path: Path, codec: str, options: dict[str, str], frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def measure_files(paths: Sequence[Path], repeat: int) -> dict[str, float]:
    """Frames a second of decoding, colouring and reading, clips a second, and bytes a video."""

    def decode(colour: bool) -> int:
        seen = 0
        for path in paths:
            convert = reformatter(1)
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type, stream.codec_context.thread_count = "NONE", 1
                for frame in container.decode(stream):
                    if colour:
                        convert(frame).to_ndarray()
                    seen += 1
        return seen

    def read() -> int:
        draws = words(1, np.arange(len(paths)), CLIP)
        for path, drawn in zip(paths, draws, strict=True):
            video = open_video(path)
            video.read(Segments(CLIP).train(video.length, drawn).tolist())
        return CLIP * len(paths)

    parts = {"decode": lambda: decode(False), "colour": lambda: decode(True), "read": read}
    rates = {name: rate.core for name, rate in _in_turn(parts, repeat).items()}
    size = statistics.mean(path.stat().st_size for path in paths)
    return rates | {"clips": rates["read"] / CLIP, "bytes": size}


def measure_loader(paths: Sequence[Path], clips: int, repeat: int) -> dict[str, Rate]:
    """Clips a second with 0, 1 and 2 workers, once they have started."""
    entries = [Entry(paths[number % len(paths)], 0) for number in range(clips)]
    data = VideoClips(entries, ["digits"], TrainClips())  # TSM's and DyReG's cuts
    loaders = {str(workers): ItemLoader(data, 8, num_workers=workers) for workers in (0, 1, 2)}

    def epoch(loader: ItemLoader) -> Callable[[], int]:
        return lambda: sum(len(batch["label"]) for batch in loader)

    return _in_turn({name: epoch(loader) for name, loader in loaders.items()}, repeat)


def measure_training(device: torch.device, repeat: int) -> Rate:
    """Clips a second of forward, backward and step, on clips that are on the device."""
    model = recipes.dyreg_tsm_resnet18(174).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    clips = 2 if device.type == "cpu" else 16
    video = torch.randn(clips, CLIP, 3, SIDE, SIDE, device=device)
    label = torch.zeros(clips, dtype=torch.long, device=device)

    def step() -> int:
        optimizer.zero_grad()
        F.cross_entropy(model(video).logits, label).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clips

    return _in_turn({"train": step}, repeat)["train"]


def bytes_of_entry(path: Path, count: int = 20_000) -> float:
    """Memory of the list of clips, a clip: each process has it."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    entries = [Entry(path.parent / f"{number}.webm", 0, str(number)) for number in range(count)]
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / len(entries)


def _in_turn(parts: dict[str, Callable[[], int]], repeat: int) -> dict[str, Rate]:
    """Units a second of each part, the median of several turns after one that does not count."""
    seen: dict[str, list[Rate]] = {name: [] for name in parts}
    for turn in range(repeat + 1):
        for name, part in parts.items():
            clock, core = time.perf_counter(), time.process_time()
            count = part()
            clock, core = time.perf_counter() - clock, time.process_time() - core
            if turn:
                seen[name].append(Rate(count / clock, count / core))
    return {
        name: Rate(*(statistics.median(values) for values in zip(*rates, strict=True)))
        for name, rates in seen.items()
    }


def table(facts: dict[str, Any]) -> list[str]:
    """The measured rates, as the page of the documentation has them."""
    lines = [
        "| files | PyAV alone | in colour | read | clips read | bytes a video |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in facts["files"].items():
        lines.append(
            f"| {name} | {one['decode']:,.0f} | {one['colour']:,.0f} | {one['read']:,.0f} "
            f"| {one['clips']:,.1f} | {one['bytes']:,.0f} |"
        )
    lines += ["", "| | clips a second |", "| --- | --- |"]
    for workers, rate in facts["loader"].items():
        lines.append(f"| loader, {workers} workers | {rate:,.2f} |")
    lines.append(f"| training, {facts['threads']} threads | {facts['train']:,.3f} |")
    of_core = facts["a core"]
    lines.append(f"| loader, of a core | {of_core['loader']:,.2f} |")
    lines.append(f"| training, of a core | {of_core['train']:,.3f} |")
    lines += ["", "| ratio | |", "| --- | --- |"]
    return lines + [f"| {name} | {value:,.2f} |" for name, value in facts["ratios"].items()]


def plan(facts: dict[str, Any]) -> list[str]:
    """What the data sets take, by the measured rates and by the sizes of the arrays."""
    rate, size = facts["a core"]["loader"], facts["files"]["vp9 240 × 320"]["bytes"]
    frames = CLIP * 3 * SIDE * SIDE
    graph = CLIP * NODES * (2 * CHANNELS + 2 * NODES + 4 * 4)  # half precision, boxes in single
    rows = {
        "clips": lambda n: f"{n:,}",
        "videos, GB": lambda n: f"{n * size / 1e9:,.0f}",
        "one view of each decoded, GB": lambda n: f"{n * frames / 1e9:,.0f}",
        "graphs of each, GB": lambda n: f"{n * graph / 1e9:,.0f}",
        "list of the clips, GB a process": lambda n: f"{n * facts['entry'] / 1e9:,.2f}",
        "order of an epoch, GB a process": lambda n: f"{n * 8 / 1e9:,.3f}",
        "an epoch's decoding, hours of a core": lambda n: f"{n / rate / 3600:,.1f}",
        "… minutes of 1,024 cores": lambda n: f"{n / rate / 60 / 1024:,.1f}",
        "an epoch's training, hours of a core": lambda n: (
            f"{n / facts['a core']['train'] / 3600:,.0f}"
        ),
    }
    lines = [f"| | {' | '.join(SETS)} |", "| --- | --- | --- |"]
    return lines + [
        f"| {name} | {' | '.join(map(told, SETS.values()))} |" for name, told in rows.items()
    ]


def feeding(facts: dict[str, Any], rates: Sequence[int] = (100, 1000, 10_000)) -> list[str]:
    """How many cores load as many clips as are trained on."""
    lines = ["| clips trained on a second | cores that load them |", "| --- | --- |"]
    return lines + [f"| {rate:,} | {rate / facts['a core']['loader']:,.0f} |" for rate in rates]


if __name__ == "__main__":
    main()
