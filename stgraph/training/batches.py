"""What a training module asks of the clip batches that it is given, from whatever data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stgraph.checks import InputError, shape
from stgraph.datasets.clips import LeftOut

__all__ = [
    "check_batch",
    "check_classes",
    "check_labels",
    "mean_of_processes",
    "mean_of_views",
    "no_clips",
    "one_view_each",
    "readable",
    "sums_of_processes",
]

_WHOLE = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


def check_batch(batch: Mapping[str, Tensor], *fields: str) -> None:
    """Check that a clip batch is a dict with a video, and with these fields.

    Args:
        batch: ``video`` [B, T, C, H, W], or [B, V, T, C, H, W] of several views; ``label`` [B],
            whole numbers.
        *fields: what it needs besides the video.

    Raises:
        InputError: when it is anything else.

    Examples:
        >>> check_batch({"video": torch.zeros(2, 5, 1, 8, 8)}, "label")
        Traceback (most recent call last):
        stgraph.checks.InputError: batch: expected a dict with video, label, got one of ['video']
    """
    if not isinstance(batch, Mapping):
        raise InputError("batch", "a dict with video, label", type(batch).__name__)
    wanted = ("video", *fields)
    if not set(wanted) <= set(batch):
        raise InputError("batch", f"a dict with {', '.join(wanted)}", f"one of {sorted(batch)}")
    several = isinstance(batch["video"], Tensor) and batch["video"].dim() == 6
    clips = shape("video", batch["video"], "B V T C H W" if several else "B T C H W")[0]
    if "label" in fields:
        shape("label", batch["label"], str(clips))
        if batch["label"].dtype not in _WHOLE:
            raise InputError("label", "whole numbers", batch["label"].dtype)


def check_labels(label: Tensor, logits: Tensor) -> None:
    """Check that a model has as many answers as there are labels, where that waits for no device.

    Args:
        label: ``[B]``.
        logits: ``[B, K]``.

    Raises:
        InputError: when a label is K or more.
    """
    if label.device.type == "cpu" and int(label.max()) >= logits.shape[1]:
        raise InputError(
            "label", f"0 to {logits.shape[1] - 1}, the model's classes", int(label.max())
        )


def one_view_each(batch: Mapping[str, Tensor]) -> tuple[dict[str, Any], int]:
    """A clip batch whose clips have one view each: several views become clips of their own.

    Args:
        batch: ``video`` [B, V, T, C, H, W] and, but for what belongs to whole clips, ``label`` and
            ``index`` [B], all else [B, V, …]; or a batch without the dimension V.

    Returns:
        The batch with B·V in place of B and V, and V. Labels and numbers are repeated.

    Raises:
        InputError: when a field has no dimension V.

    Examples:
        >>> batch = {"video": torch.zeros(2, 6, 16, 3, 8, 8), "label": torch.tensor([4, 5])}
        >>> flat, views = one_view_each(batch)
        >>> list(flat["video"].shape), flat["label"][:7].tolist(), views
        ([12, 16, 3, 8, 8], [4, 4, 4, 4, 4, 4, 5], 6)
    """
    if batch["video"].dim() == 5:
        return dict(batch), 1
    clips, views = batch["video"].shape[:2]
    flat: dict[str, Any] = {}
    for name, column in batch.items():
        if not isinstance(column, Tensor):
            flat[name] = [value for value in column for _ in range(views)]
        elif name in ("label", "index"):
            flat[name] = column.repeat_interleave(views, dim=0)
        elif column.shape[:2] != (clips, views):
            raise InputError(name, f"[{clips}, {views}, …], as the video", list(column.shape))
        else:
            flat[name] = column.flatten(0, 1)
    return flat, views


def mean_of_views(logits: Tensor, views: int) -> Tensor:
    """Logits of clips [B, K], the mean over their views [B·V, K]."""
    return logits if views == 1 else logits.view(-1, views, logits.size(1)).mean(1)


def mean_of_processes(value: Tensor, clips: int) -> Tensor:
    """The mean of a value over the clips of all processes, some of which may have none.

    Args:
        value: the mean over this process's clips.
        clips: how many these are.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    sums = torch.stack([value.detach() * clips, value.new_tensor(clips)])
    torch.distributed.all_reduce(sums)
    return sums[0] / sums[1].clamp(min=1)


def sums_of_processes(*numbers: float, device: torch.device | str = "cpu") -> list[float]:
    """The sums of some numbers over all processes, which have to ask at the same time."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums)
    return sums.tolist()


def readable(stage: str, clips: float, left_out: Sequence[LeftOut], count: float) -> None:
    """Check that some of the clips of an epoch could be read.

    Args:
        stage: ``"train"``, ``"val"``, ``"test"`` or ``"predict"``.
        clips: how many were seen, by all processes.
        left_out: those that this process has left out.
        count: how many all processes have.

    Raises:
        InputError: when none could be read, so that there is nothing to learn from or to measure.
    """
    if not clips:
        first = f", {left_out[0].clip} since {left_out[0].why}" if left_out else ""
        told = f"none; {round(count)} left out{first}"
        raise InputError(f"data.{stage}", "clips that can be read", told)


def check_classes(data: Any, model: nn.Module, stage: str) -> None:
    """Check that a model answers with as many classes as its data have labels, before a run.

    And that the labels are those to train on wherever they have names: folders of classes, one of
    which is empty in another set, would be numbered otherwise there.

    Args:
        data: a data module; where it is none of :class:`~stgraph.training.ClipData`, nothing is
            known before its batches come.
        model: with ``num_classes``, or nothing is known of it.
        stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.

    Raises:
        InputError: when they differ.
    """
    stages = ("train", "val" if stage in ("fit", "validate") else stage)
    first: tuple[str, list[str]] | None = None
    for name in stages:
        names = list(getattr(getattr(data, name, None), "label_names", None) or ())
        if not names:
            continue
        classes = getattr(model, "num_classes", len(names))
        if classes != len(names):
            if stage != "fit" and name == "train":  # it is not what the model was trained on
                continue
            told = f"{len(names)}, as many as the labels of data.{name}"
            raise InputError("num_classes", told, classes)
        if first is not None and names != first[1]:
            here, there = (
                sorted(set(a) - set(b)) for a, b in ((names, first[1]), (first[1], names))
            )
            told = f"the labels of data.{first[0]}, in their order"
            raise InputError(f"data.{name}", told, f"{here[:9]} more, {there[:9]} fewer")
        first = name, names


def no_clips(module: nn.Module) -> Tensor:
    """A loss of zero that all parameters have a part in, for a batch without clips.

    Its gradients are zeros, so that the processes that share gradients wait for none.

    Raises:
        InputError: where norms are shared too: their statistics would be waited for.
    """
    if torch.distributed.is_initialized() and any(
        isinstance(one, nn.SyncBatchNorm) for one in module.modules()
    ):
        raise InputError("batch", "a clip that can be read, for norms of all processes", "none")
    loss = torch.zeros(())
    for parameter in module.parameters():
        if parameter.requires_grad:
            loss = loss.to(parameter.device) + 0 * parameter.sum()
    return loss
