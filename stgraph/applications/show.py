"""``stgraph show``: a page of the regions and the attention that a trained model has on a clip."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stgraph import viz
from stgraph.applications.predict import entries_of
from stgraph.applications.trained import SHIPPED, Trained, files_of_run, trained
from stgraph.checks import InputError, integer
from stgraph.datasets.items import PlainClips, one_clip
from stgraph.datasets.loader import BatchedClips
from stgraph.datasets.videos import ClipRule, Crops, ProtocolClips, decoder
from stgraph.explain import attention
from stgraph.layers import HomogeneousLayer, SpaceLayer
from stgraph.model import Output, SpaceTimeGraph
from stgraph.runs.command import Command
from stgraph.training.checkpoints import load_weights
from stgraph.training.data import dataset_of
from stgraph.training.module import ClassificationModule

__all__ = ["run", "view", "view_of"]


def run(
    ckpt: str | None = None,
    config: str | None = None,
    split: Literal["train", "val", "test"] = "test",
    index: int = 0,
    count: int = 1,
    out: str = "show.html",
    video: str | list[str] | None = None,
    frames: int | None = None,
    size: int | None = None,
) -> Path:
    """Write a page of the regions that a model finds in a clip.

    Args:
        ckpt: checkpoint of the model, or the folder of its run; the small model that comes with
            the package when absent.
        config: configuration of the model and its data; the one saved with the run when absent.
        split: which of the configuration's clips.
        index: number of the first clip, or of the first video.
        count: how many clips from there.
        out: the page.
        video: files, folders, lists or manifests to show in place of the configuration's clips.
        frames: of a clip of a video, in place of the run's.
        size: height and width of what the model sees of a video, in place of the run's.

    Returns:
        The page.

    Raises:
        InputError: when a file is missing or does not fit, there is no such clip, or the model
            makes no graphs.
    """
    numbers = range(integer("index", index, 0), index + integer("count", count))
    name, chosen = (ckpt, f" --ckpt {ckpt}") if ckpt else (SHIPPED.stem, "")
    if video is None:
        if frames is not None or size is not None:
            raise InputError("frames and size", "none without --video", (frames, size))
        views = _of_data(ckpt, config, split, numbers)
        which = f"--split {split}"
        summary = f"{name}, {split} clips from {index}"
    else:
        words = [video] if isinstance(video, str) else video
        views = _of_videos(words, trained(ckpt, config, frames, size), numbers)
        which = f"--video {shlex.join(words)}"
        which += "".join(f" --{k} {v}" for k, v in (("frames", frames), ("size", size)) if v)
        summary = f"{name}, {' '.join(words)} from {index}"
    about = viz.about_here(
        f"stgraph show{chosen} {which} --index {index} --count {count}",
        more={} if video is None else {"decoder": _versions()},
    )
    page = viz.show(out, views, summary=summary, about=about)
    print(f"wrote {page}")
    return page


def _of_data(
    ckpt: str | None, config: str | None, split: str, numbers: range
) -> list[viz.ClipView]:
    """Views of clips of a configuration's data."""
    path, found = files_of_run(ckpt, config)
    options = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    command = Command(["fit", "--config", str(found), *options], run=False)
    load_weights(command.model, path)
    clips = dataset_of(command.datamodule, split)
    _check(numbers, len(clips))
    return [view(command.model, clips, number) for number in numbers]


def _of_videos(words: Sequence[str], one: Trained, numbers: range) -> list[viz.ClipView]:
    """Views of videos: one clip of each, of the view in the middle."""
    entries = entries_of(words)
    _check(numbers, len(entries))
    one = replace(one, rule=_single(one.rule))
    views = []
    for number in numbers:
        entry = entries[number]
        clip = {"video": one.clips(entry).to(one.module.device)}
        seen = view_of(one.module, clip, one.label_names)
        views.append(replace(seen, title=entry.name))
    return views


def _single(rule: ClipRule) -> ClipRule:
    """A rule that takes one clip of a video, where it may take several."""
    if not isinstance(rule, ProtocolClips):
        return rule
    crops = rule.crops
    return replace(
        rule, samplings=1, crops=replace(crops, count=1) if isinstance(crops, Crops) else crops
    )


def _check(numbers: range, length: int) -> None:
    if numbers.stop > length:
        asked = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        raise InputError("indices", f"clip numbers from 0 to {length - 1}", asked)


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in decoder().items())


def view(
    module: ClassificationModule, clips: BatchedClips | PlainClips, index: int
) -> viz.ClipView:
    """Run a model on one clip and gather what there is to see.

    Args:
        module: the model and its scaling; run in evaluation mode, and left in its own.
        clips: a dataset of clip batches, or a plain one of clips.
        index: number of the clip.

    Raises:
        InputError: when there is no such clip, or the model makes no graphs.
    """
    batch = one_clip(clips, index, module.device)
    if batch["video"].dim() == 6:  # of several views, the first
        batch = {k: v[:, 0] if _has_views(v, batch["video"]) else v for k, v in batch.items()}
    return view_of(module, batch, getattr(clips, "label_names", None) or ())


def _has_views(column: Any, video: Tensor) -> bool:
    """Whether a field of a clip batch has the dimension of views that the video has."""
    return isinstance(column, Tensor) and column.dim() > 2 and column.shape[1:3] == video.shape[1:3]


@torch.no_grad()
def view_of(
    module: ClassificationModule, batch: Mapping[str, Tensor], label_names: Sequence[str] = ()
) -> viz.ClipView:
    """Run a model on a batch of one clip and gather what there is to see.

    Args:
        module: the model and its scaling; run in evaluation mode, and left in its own.
        batch: the clip.
        label_names: the labels in words, by number; numbers where there are none.

    Raises:
        InputError: when the model makes no graphs.
    """
    training = module.training
    try:
        with _heard(module) as rounds:
            answer = module.eval().answer(batch)
    finally:
        module.train(training)
    if answer.graph is None:
        raise InputError("model", "one that makes graphs", type(module.model).__name__)
    probability, label = answer.logits[0].softmax(-1).max(-1)
    names = list(label_names) or [str(k) for k in range(answer.logits.shape[1])]
    alpha = rounds[-1]() if rounds else None  # the last round's, of the last graph
    return viz.ClipView.cut(
        0,
        batch["video"].cpu(),
        answer.graph.cpu(),
        alpha=None if alpha is None else alpha.cpu(),
        box=batch["box"].cpu() if "box" in batch else None,
        marked=batch["synchronous"].cpu() if "synchronous" in batch else None,
        label=names[int(batch["label"][0])] if "label" in batch else "",
        prediction=names[int(label)],
        confidence=float(probability),
    )


@contextmanager
def _heard(module: nn.Module) -> Iterator[list[Callable[[], Tensor | None]]]:
    """Note what weighs edges within the block, in the order in which it runs.

    Yields:
        Functions that return the weights of the last round of a space-time graph, or of a layer
        that belongs to none.
    """
    rounds: list[Callable[[], Tensor | None]] = []

    def of_layer(layer: Any, inputs: tuple[Any, ...]) -> None:
        rounds.append(partial(layer.attention, *inputs))

    def of_net(net: SpaceTimeGraph, inputs: tuple[Any, ...], out: Output) -> None:
        rounds.append(lambda: next(reversed(attention(net, out.graph).values()), None))

    hooks: list[Any] = []
    for part in module.modules():
        if isinstance(part, SpaceTimeGraph):  # whose layers run before it ends
            hooks.append(part.register_forward_hook(of_net))
        elif isinstance(part, (SpaceLayer, HomogeneousLayer)):
            hooks.append(part.register_forward_pre_hook(of_layer))
    try:
        yield rounds
    finally:
        for hook in hooks:
            hook.remove()
