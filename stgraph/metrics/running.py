"""Metrics of torchmetrics, which sum up over the batches and processes of a stage.

Each is a part of :class:`~stgraph.training.ClassificationModule`, in validation and test; one of
your own is a subclass of :class:`ClipMetric`. (Needs torchmetrics, of the extra ``train``.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from stgraph.checks import InputError, fraction
from stgraph.metrics.answers import confusion, hits, per_class, wilson
from stgraph.metrics.boxes import at_frames, boxes_of_batch, boxes_of_graph
from stgraph.metrics.objects import object_metrics
from stgraph.metrics.ratio import Ratio, harmonic_mean

__all__ = ["Classes", "ClipMetric", "Objects"]

_PARTS = 2**24
_NAMES = (
    "iou_p",
    "iou_r",
    "recall",
    "l2_p",
    "l2_r",
    "displacement",
    "common",
    "matched",
    "purity",
    "switches",
)


class ClipMetric(Metric, ABC):
    """What is measured of a model's answers to clip batches.

    A subclass adds states with ``add_state(..., dist_reduce_fx="sum")`` as any metric of
    torchmetrics does. Sums are best kept as whole numbers: these are the same in any order and
    number of processes, and precision plugins leave them alone.
    """

    full_state_update = False
    names: tuple[str, ...] = ()
    """What is logged, where there is something to measure; a schedule may wait for it."""

    @abstractmethod
    def update(self, logits: Tensor, answer: Any, batch: Mapping[str, Tensor]) -> None:
        """Take in a batch.

        Args:
            logits: of the clips ``[B, K]``; of several views, their average.
            answer: all that the model answered; of V views it has B·V clips.
            batch: the clip batch; its fields are those of B·V clips, but ``label`` is ``[B]``, and
                its ``video`` is not scaled.
        """

    @abstractmethod
    def compute(self) -> dict[str, Any]:
        """Return what was measured.

        Plain numbers are logged under their names; all of it, with dicts and lists as JSON has
        them, is written into the run's folder after a test.
        """


class Objects(ClipMetric):
    """Regions of a model against the true boxes of the clips: all of :mod:`stgraph.metrics`.

    Batches without ``box``, and models without graphs, are passed over. What nothing was counted
    for is not logged; the file of a test has each number's count.

    A batch costs about 30 µs a frame for matching on the CPU and a wait for the device; the rest is
    small beside a model.

    Args:
        place: of a CNN with several graph blocks, the name of the one that is measured, which then
            stands before the names of the numbers; by default it is the last one.
        threshold: smallest IoU at which a region has found a box, above 0.

    Raises:
        InputError: on a threshold outside 0..1 or 0; in use, on a place at which there is no graph,
            graphs of other clips than the batch's, and boxes that are none.
    """

    total: Tensor
    count: Tensor
    frames: Tensor

    def __init__(self, place: str | None = None, threshold: float = 0.5) -> None:
        super().__init__()
        if not fraction("threshold", threshold):
            raise InputError("threshold", "a number above 0", threshold)
        self.place, self.threshold = place, threshold
        self._before = "" if place is None else f"{place}/"
        self.names = tuple(self._before + name for name in (*_NAMES, "iou"))
        none = torch.zeros(len(_NAMES), dtype=torch.long)
        self.add_state("total", none, dist_reduce_fx="sum")  # in parts of 2**-24
        self.add_state("count", none.clone(), dist_reduce_fx="sum")
        # all, those without true boxes, those without regions
        self.add_state("frames", none[:3].clone(), dist_reduce_fx="sum")

    def update(self, logits: Tensor, answer: Any, batch: Mapping[str, Tensor]) -> None:
        """Take in a batch: see :class:`ClipMetric`."""
        graph = self._graph(answer)
        if graph is None or "box" not in batch:
            return
        found, true = boxes_of_graph(graph), boxes_of_batch(batch)
        true = at_frames(true, found.box.size(1))
        measured = object_metrics(found, true, self.threshold)
        self.total = self.total + self._whole([measured[name].total for name in _NAMES])
        self.count = self.count + self._whole([measured[name].count for name in _NAMES])
        empty = [~boxes.present.any(2) & true.exists for boxes in (true, found)]
        self.frames = self.frames + torch.stack([x.sum() for x in (true.exists, *empty)])

    def _whole(self, sums: list[Tensor]) -> Tensor:
        parts = [(one * _PARTS).round().long().to(self.total.device) for one in sums]
        return torch.stack(parts)

    def _graph(self, answer: Any) -> Any:
        if self.place is None:
            return getattr(answer, "graph", None)
        graphs = getattr(answer, "graphs", {})
        if self.place not in graphs:
            raise InputError("place", f"one with a graph, of {sorted(graphs)}", repr(self.place))
        return graphs[self.place]

    def compute(self) -> dict[str, Any]:
        """Return each number that there is, and ``objects``: numbers, counts and frames."""
        totals, counts = (sums.cpu().double() / _PARTS for sums in (self.total, self.count))
        pairs = zip(totals, counts, strict=True)
        ratios = {name: Ratio(*pair) for name, pair in zip(_NAMES, pairs, strict=True)}
        values = {name: ratio.value for name, ratio in ratios.items()}
        values["iou"] = harmonic_mean(values["iou_p"], values["iou_r"])
        logged = {self._before + name: v for name, v in values.items() if v is not None}
        told: dict[str, Any] = {
            name: {"value": values[name], "count": float(ratio.count)}
            for name, ratio in ratios.items()
        }
        kinds = ("all", "without_boxes", "without_regions")
        told["iou"] = {"value": values["iou"]}
        told["frames"] = dict(zip(kinds, self.frames.tolist(), strict=True))
        return {**logged, self._before + "objects": told} if told["frames"]["all"] else {}


class Classes(ClipMetric):
    """Accuracies with their intervals, of each class too, and the confusion matrix.

    They are for the file of a test: ``clips``, ``top1`` and ``top5`` with Wilson's interval,
    ``per_class`` and ``confusion``, rows labels and columns answers.

    Args:
        confidence: of the intervals.

    Raises:
        InputError: on a confidence outside of 0 and 1; in use, on labels that are no classes.
    """

    counts: Tensor
    five: Tensor

    def __init__(self, confidence: float = 0.95) -> None:
        super().__init__()
        wilson(0, 0, confidence)
        self.confidence = confidence
        # K × K once the first logits say what K is
        self.add_state("counts", torch.zeros(0, 0, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("five", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, answer: Any, batch: Mapping[str, Tensor]) -> None:
        """Take in a batch: see :class:`ClipMetric`."""
        counts = confusion(logits, batch["label"])
        self.counts = self.counts + counts if self.counts.numel() else counts
        if logits.size(1) > 5:
            self.five = self.five + hits(logits, batch["label"], 5).sum().long()

    def sync(self, *args: Any, **options: Any) -> None:
        """Add up those of all processes, some of which may have seen no clip."""
        together = distributed.is_available() and distributed.is_initialized()
        if together and options.get("should_sync", True):
            most = torch.tensor(len(self.counts), device=self.counts.device)
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
            if not len(self.counts):
                self.counts = self.counts.new_zeros(int(most), int(most))
        super().sync(*args, **options)

    def compute(self) -> dict[str, Any]:
        """Return ``classes``: see the class."""
        clips = int(self.counts.sum())
        told: dict[str, Any] = {"clips": clips, "confidence": self.confidence}
        told["top1"] = self._share(int(self.counts.diagonal().sum()), clips)
        if len(self.counts) > 5:
            told["top5"] = self._share(int(self.five), clips)
        told["per_class"] = per_class(self.counts).values
        told["confusion"] = self.counts.tolist()
        return {"classes": told}

    def _share(self, right: int, clips: int) -> dict[str, float | None]:
        low, high = wilson(right, clips, self.confidence)
        return {"value": right / clips if clips else None, "low": low, "high": high}
