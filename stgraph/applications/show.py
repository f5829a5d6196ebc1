"""``stgraph show``: a page of the regions and the attention that a trained model has on a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stgraph import viz
from stgraph.checks import InputError, integer
from stgraph.datasets.items import PlainClips, one_clip
from stgraph.datasets.loader import BatchedClips
from stgraph.explain import attention
from stgraph.layers import HomogeneousLayer, SpaceLayer
from stgraph.model import Output, SpaceTimeGraph
from stgraph.runs.command import Command
from stgraph.training.checkpoints import load_weights
from stgraph.training.data import dataset_of
from stgraph.training.module import ClassificationModule

__all__ = ["run", "view"]


def run(
    ckpt: str,
    config: str | None = None,
    split: Literal["train", "val", "test"] = "test",
    index: int = 0,
    count: int = 1,
    out: str = "show.html",
) -> Path:
    """Write a page of the regions that a model finds in a clip.

    Args:
        ckpt: checkpoint of the model.
        config: configuration of the model and its data; the one saved beside the checkpoint's run
            when absent.
        split: which of the configuration's clips.
        index: number of the first clip.
        count: how many clips from there.
        out: the page.

    Returns:
        The page.

    Raises:
        InputError: when a file is missing or does not fit, there is no such clip, or the model
            makes no graphs.
    """
    if not Path(ckpt).is_file():
        raise InputError("ckpt", "a checkpoint", f"{ckpt}, which does not exist")
    found = Path(ckpt).parent.parent / "config.yaml" if config is None else Path(config)
    if not found.is_file():
        expected = "the configuration of the model (--config configs/NAME.yaml)"
        raise InputError("config", expected, f"{found}, which does not exist")
    options = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    command = Command(["fit", "--config", str(found), *options], run=False)
    load_weights(command.model, ckpt)
    clips = dataset_of(command.datamodule, split)
    last = integer("index", index, 0) + integer("count", count)
    if last > len(clips):
        asked = str(index) if count == 1 else f"{index} to {last - 1}"
        raise InputError("indices", f"clip numbers from 0 to {len(clips) - 1}", asked)
    views = [view(command.model, clips, number) for number in range(index, last)]
    about = viz.about_here(f"stgraph show --ckpt {ckpt} --split {split} --index {index}")
    page = viz.show(out, views, summary=f"{ckpt}, {split} clips from {index}", about=about)
    print(f"wrote {page}")
    return page


@torch.no_grad()
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
    training = module.training
    try:
        with _heard(module) as rounds:
            answer = module.eval().answer(batch)
    finally:
        module.train(training)
    if answer.graph is None:
        raise InputError("model", "one that makes graphs", type(module.model).__name__)
    probability, label = answer.logits[0].softmax(-1).max(-1)
    names = getattr(clips, "label_names", None) or [str(k) for k in range(answer.logits.shape[1])]
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
