"""Where the time of DyReG's block and of small trainings goes, by kinds of operators.

    python benchmarks/breakdown.py --json benchmarks/results/breakdown-cpu.json
    python benchmarks/breakdown.py --device cuda

A forward and a backward pass of `speed.py`'s configurations, beside the straightforward block, and
of the demonstration's dynamic models, beside that of their CNN, under PyTorch's profiler: each
operator counts with its own time, not that of operators that it calls. What a GRU runs, in both
directions, is one kind. What no operator that computes has spent is Python's and the dispatcher's,
the profiler's share included; so time without the profiler stands beside. The least that a block
could take: a plain product of the same multiply-accumulates, and plain copies of as many bytes as
all other operators read and write.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from facts import collect, write
from fitting import TRAININGS
from measure import arguments, medians, ready, waiting
from speed import CONFIGURATIONS, block_of, macs_of, roofline, trained
from straightforward import Straightforward
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot"),
    "convolutions": (
        "convolution",
        "convolution_backward",
        "mkldnn_convolution",
        "cudnn_convolution",
    ),
    "norms": (
        *("native_layer_norm", "native_layer_norm_backward"),
        *("native_group_norm", "native_group_norm_backward"),
        *("native_batch_norm", "native_batch_norm_backward"),
    ),
    "reductions": (
        *("sum", "mean", "amax", "amin", "max", "min", "any", "all", "linalg_vector_norm"),
        *("_softmax", "_softmax_backward_data", "var_mean", "max_pool2d_with_indices"),
        *("max_pool2d_with_indices_backward", "cumsum"),
    ),
    "copies": (
        *("copy", "cat", "fill", "zero", "index", "index_select", "gather", "scatter"),
        *("index_add", "scatter_add", "index_put", "arange", "constant_pad_nd", "repeat"),
    ),
}
"""Operators by kind, without the underscore of those in place. Others that compute go element by
element."""

ROWS = ("demonstration", "small")
"""Trainings of `fitting.py`."""

RECURRENT = ("aten::gru", "Sweep", "SweepBackward")
"""What runs a GRU: PyTorch's, and ours with its backward pass."""

EMPTY = ("empty", "new_empty", "detach", "resize", "set_")
"""How names begin of what makes or names memory, and puts nothing in."""

REST = "Python and dispatch"
ORDER = (*KINDS, "elementwise", "recurrence", REST)


class Traffic(TorchDispatchMode):
    """Counts the bytes that operators read and write, products and convolutions left out."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        made = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        product = kind_of(name) in ("matrix products", "convolutions")
        if not (product or function.is_view or name.startswith(EMPTY)):
            leaves = pytree.tree_leaves((args, kwargs, made))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
        return made


def main() -> None:
    parser = arguments(__doc__, threads=1, repeat=5)
    options = parser.parse_args()
    device = ready(options)
    facts = collect(device, options.seed, threads=options.threads)
    rows = {name: measure(sizes, options.repeat, device) for name, sizes in CONFIGURATIONS.items()}
    for name, row in rows.items():
        tell(name, row)
    trainings = {name: training_step(name, options.repeat, device) for name in ROWS}
    for name, row in trainings.items():
        print(f"\n{name}, {row['clips']} clips a step, ms")
        for what, seconds in (row["seconds"] | row["kinds"]).items():
            print(f"  {what:22} {1e3 * seconds:8.1f}")
    if options.json:
        write(options.json, facts | {"blocks": rows, "trainings": trainings})


def measure(sizes: tuple[int, ...], repeat: int, device: torch.device) -> dict[str, Any]:
    """Seconds of both blocks by kind, and the least that they could take."""
    block = block_of(sizes, device)
    plain = Straightforward(block)
    features = torch.randn(*sizes[:4], sizes[3], device=device, requires_grad=True)
    learned = (*block.parameters(), features)
    both = {
        "plain": trained(lambda: plain(features), learned),
        "stgraph": trained(lambda: block(features).features, learned),
    }
    made: dict[str, Any] = {"sizes": list(sizes), "macs": {}, "bytes": {}, "peak": {}, "kinds": {}}
    for name, part in both.items():
        made["macs"][name] = macs_of(part)
        with Traffic() as traffic:
            part()
        made["bytes"][name] = traffic.bytes
        made["peak"][name] = peak_of(part, device)
    lines = roofline(made["macs"]["stgraph"], features)
    made["seconds"] = medians(both | lines, repeat, device)
    rate = 2 * features.nbytes / made["seconds"]["copy of its maps"]  # read and written
    made["seconds"]["copy of its bytes"] = made["bytes"]["stgraph"] / rate
    for name, part in both.items():
        made["kinds"][name] = by_kind(part, repeat, device)
    return made


def training_step(name: str, repeat: int, device: torch.device) -> dict[str, Any]:
    """Seconds of a forward and a backward pass in training, of its CNN's alone, and by kind."""
    training = TRAININGS[name]()
    module = training.module.to(device)
    batch = next(iter(training.loader(device)))
    frames = module.scale(batch["video"]).flatten(0, 1)

    def loss() -> Tensor:
        asked = module.asked(batch)
        loss = module.loss(asked.logits, batch["label"].long())
        return loss + module.auxiliary(asked.answer, asked.seen)

    learned = tuple(module.parameters())
    step = trained(loss, learned)
    cnn = trained(lambda: module.model.backbone(frames), learned)
    return {
        "clips": training.batch,
        "seconds": medians({"a step": step, "its CNN alone": cnn}, repeat, device),
        "kinds": by_kind(step, repeat, device),
    }


def by_kind(part: Callable[[], object], repeat: int, device: torch.device) -> dict[str, float]:
    """Seconds of each kind in a call: means over several under the profiler."""
    on_gpu = device.type == "cuda"
    wait = waiting(device)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as seen:
        wait()
        start = time.perf_counter()
        for _ in range(repeat):
            part()
        wait()
        passed = time.perf_counter() - start
    events = [event for event in seen.events() if event.device_type.name == "CPU"]
    # The gradients of what PyTorch's own runs are operators of their own, which tell by a number
    # whose they are.
    steps = {event.sequence_nr for event in events if called_by(event, RECURRENT[:1])} - {-1}
    spent: Counter[str] = Counter(dict.fromkeys(ORDER, 0.0))
    for event in events:
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        recurrent = called_by(event, RECURRENT) or step_of(event) in steps
        spent["recurrence" if recurrent else kind_of(event.name)] += own / 1e6
    spent[REST] += passed - sum(spent.values())  # what no operator has seen
    return {kind: spent[kind] / repeat for kind in ORDER}


def peak_of(part: Callable[[], object], device: torch.device) -> int:
    """The most bytes that a call holds at once, beside what was there before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        part()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        part()
    records = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    records.sort(key=lambda each: each.start_ns())
    return max(itertools.accumulate(each.nbytes() for each in records))


def called_by(event: FunctionEvent | None, names: Sequence[str]) -> bool:
    """Whether this is one of these operators, or one of them has called it."""
    while event is not None and event.name not in names:
        event = event.cpu_parent
    return event is not None


def step_of(event: FunctionEvent | None) -> int | None:
    """The number of the forward operator whose gradients this is part of, if of any."""
    while event is not None and not event.name.startswith("autograd::engine::evaluate_function"):
        event = event.cpu_parent
    return None if event is None else event.sequence_nr


def kind_of(name: str) -> str:
    """The kind of an operator, by its name with or without ``aten::``."""
    short = name.removeprefix("aten::")
    for kind, names in KINDS.items():
        if short in names or short.removesuffix("_") in names:
            return kind
    return "elementwise" if computes(short) else REST


def computes(name: str) -> bool:
    """Whether an operator has values to compute: no view, and more than calls of others."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or name.startswith(EMPTY):
        return False
    first = getattr(packet, packet.overloads()[0])
    implicit = torch._C.DispatchKey.CompositeImplicitAutograd
    explicit = torch._C.DispatchKey.CompositeExplicitAutograd
    calls_others = first.has_kernel_for_dispatch_key(implicit) or (
        first.has_kernel_for_dispatch_key(explicit)
    )
    return not (first.is_view or calls_others)


def tell(name: str, row: dict[str, Any]) -> None:
    """Print a configuration's figures."""
    milli = {part: 1e3 * value for part, value in row["seconds"].items()}
    print(f"\n{name} {tuple(row['sizes'])}: straightforward / here, ms")
    print(f"  {'without the profiler':22} {milli['plain']:8.1f} {milli['stgraph']:8.1f}")
    for kind in ORDER:
        there, here = (1e3 * row["kinds"][one][kind] for one in ("plain", "stgraph"))
        share = row["kinds"]["stgraph"][kind] / sum(row["kinds"]["stgraph"].values())
        print(f"  {kind:22} {there:8.1f} {here:8.1f}  {share:4.0%}")
    there, here = (row["peak"][one] / 2**20 for one in ("plain", "stgraph"))
    print(f"  {'peak memory, MiB':22} {there:8.1f} {here:8.1f}")
    for line in ("matmul of its MACs", "copy of its bytes"):
        print(f"  {line:22} {'':8} {milli[line]:8.1f}")


if __name__ == "__main__":
    main()
