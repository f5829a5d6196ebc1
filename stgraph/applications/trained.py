"""A trained model with what it takes to show it any video: how clips are cut, and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import Dataset

from stgraph.checks import InputError, integer
from stgraph.datasets import Digits
from stgraph.datasets.items import one_clip
from stgraph.datasets.videos import (
    ClipRule,
    Crops,
    Entry,
    MultiScaleCrops,
    ProtocolClips,
    Segments,
    TrainClips,
    VideoClips,
    View,
)
from stgraph.datasets.videos.sampling import FrameSampler
from stgraph.reading import read_yaml, within_memory
from stgraph.training.checkpoints import load_weights
from stgraph.training.data import dataset_of
from stgraph.training.module import ClassificationModule

__all__ = ["Covering", "Trained", "files_of_run", "grey", "trained"]


@dataclass(frozen=True)
class Covering:
    """Crops of any shape: the frame is resized to cover it, and cut in the middle.

    Args:
        height: rows of what is seen.
        width: columns of what is seen.

    Examples:
        >>> Covering(32, 64)(120, 160)[0]
        View(scaled=(48, 64), top=8, left=0, cut=(32, 64), size=(32, 64), flip=False)
    """

    height: int
    width: int

    def __call__(self, height: int, width: int) -> list[View]:
        """The one view of frames of this size."""
        scale = max(self.height / height, self.width / width)
        rows = max(self.height, round(height * scale))
        columns = max(self.width, round(width * scale))
        size = (self.height, self.width)
        return [
            View((rows, columns), (rows - size[0]) // 2, (columns - size[1]) // 2, size, size),
        ]


@dataclass(frozen=True)
class Trained:
    """A model, ready to answer videos.

    Args:
        module: the model and its scaling, in evaluation mode.
        rule: how clips are cut out of videos.
        label_names: the answers in words, by number; numbers where they are not known.
        channels: 1 for a model of grey frames, 3 for one of coloured ones.
    """

    module: ClassificationModule
    rule: ClipRule
    label_names: Sequence[str]
    channels: int

    @property
    def clip_size(self) -> tuple[int, int, int, int]:
        """Frames, channels, height and width of a clip that the model sees."""
        words = np.zeros(self.rule.draws, dtype=np.uint64)
        frames = int(self.rule.frames(1 << 16, words).shape[1])
        view = self.rule.views(1 << 10, 1 << 10, words)[0]
        return frames, self.channels, *view.size

    def clips(self, entry: Entry) -> Tensor:
        """All clips of a video that the model is to see, as a test would.

        Returns:
            ``uint8 [V, T, c, h, w]``.

        Raises:
            InputError: when the video cannot be read.
        """
        bare = replace(entry, label=None)
        video: Tensor = VideoClips([bare], (), self.rule)[0]["video"]
        return self.coloured(video if video.dim() == 5 else video[None])

    def coloured(self, video: Tensor) -> Tensor:
        """Frames ``[..., 3, h, w]`` in the colours that the model knows ``[..., c, h, w]``."""
        return grey(video) if self.channels == 1 else video

    def name(self, label: int) -> str:
        """An answer in words."""
        return self.label_names[label] if label < len(self.label_names) else str(label)


def grey(video: Tensor) -> Tensor:
    """The luma of frames, as Pillow rounds it: (299 R + 587 G + 114 B) / 1000.

    Args:
        video: ``uint8 [..., 3, h, w]``.

    Returns:
        ``uint8 [..., 1, h, w]``.

    Examples:
        >>> grey(torch.tensor([255, 0, 255], dtype=torch.uint8).view(3, 1, 1)).item()
        105
    """
    red, green, blue = video.int().unbind(-3)
    # Weights in units of 2^-16, so that sums are exact.
    luma = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return luma.byte().unsqueeze(-3)


SHIPPED = Path(__file__).parents[1] / "weights" / "shipped" / "motion_small.safetensors"
"""The demonstration's model, which comes with the package."""


def files_of_run(
    ckpt: str | Path | None = None, config: str | Path | None = None
) -> tuple[Path, Path]:
    """The checkpoint and the configuration of a trained model.

    Args:
        ckpt: a checkpoint, or the folder of a run, of which the best one is taken if there is one;
            the small model that comes with the package if None.
        config: the configuration; the one saved with the checkpoint's run if None.

    Raises:
        InputError: when one is missing.
    """
    path = SHIPPED if ckpt is None else Path(ckpt)
    if path.is_dir():
        kept = [path / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
        path = next((file for file in kept if file.is_file()), path)
    if not path.is_file():
        wrong = "has none" if path.is_dir() else "does not exist"
        raise InputError("ckpt", "a checkpoint", f"{ckpt}, which {wrong}")
    beside = path.with_suffix(".yaml")  # as a demonstration leaves them
    found = beside if beside.is_file() else path.parent.parent / "config.yaml"
    found = found if config is None else Path(config)
    if not found.is_file():
        expected = "the configuration of the model (--config configs/NAME.yaml)"
        raise InputError("config", expected, f"{found}, which does not exist")
    return path, found


def trained(
    ckpt: str | Path | None = None,
    config: str | Path | None = None,
    frames: int | None = None,
    size: int | None = None,
    device: torch.device | str = "cpu",
) -> Trained:
    """Build the model of a run with its weights, and find out how it sees videos.

    Clips are cut as the run's test data are: by their rule where they are videos, which need not be
    there any more; otherwise in as many frames, and as large, as their first clip has.

    Args:
        ckpt: a checkpoint, or the folder of a run; the small model that comes with the package if
            None.
        config: the configuration; the one saved with the checkpoint's run if None.
        frames: of a clip, in place of the run's.
        size: height and width of what the model sees, in place of the run's.
        device: where the model comes to lie.

    Raises:
        InputError: when files are missing or do not fit, the model takes frames of neither one nor
            three channels or hints beside them, or nothing says how clips are cut.
    """
    path, found = files_of_run(ckpt, config)
    described = read_yaml(found, "a configuration of `stgraph fit`")
    if not isinstance(described, Mapping):
        raise InputError(str(found), "a configuration of `stgraph fit`", type(described).__name__)
    module = _module(described.get("model"), found)
    load_weights(module, path)
    if module.hints:
        raise InputError("model", "one that is told nothing beside the video", module.hints)
    rule, names, channels = _data(described.get("data"), found)
    if channels is None:
        channels = _channels(module.model)
    if channels not in (1, 3):
        raise InputError("model", "one of frames of 1 or 3 channels", f"one of {channels}")
    return Trained(module.eval().to(device), _changed(rule, frames, size), names, channels)


def _module(described: Any, source: Path) -> ClassificationModule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ClassificationModule, "model", sub_configs=True)
    made = _made(parser, "model", described or {}, source)
    assert isinstance(made, ClassificationModule)
    return made


def _part(kind: Any, described: Any, source: Path) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--part", type=kind)
    return _made(parser, "part", described, source)


def _made(parser: ArgumentParser, name: str, described: Any, source: Path) -> Any:
    set_parsing_settings(subclasses_enabled=[Digits])  # as the command line has it
    try:
        parsed = parser.parse_object({name: described})
    except ArgumentError as error:
        told = " ".join(str(error).split())
        raise InputError(str(source), "parts that can be imported", told) from error
    with within_memory(name):
        return parser.instantiate_classes(parsed)[name]


def _data(described: Any, source: Path) -> tuple[ClipRule | None, Sequence[str], int | None]:
    """How a configuration's clips are cut, the names of their labels, and their channels."""
    if not isinstance(described, Mapping):
        return None, (), None
    kind, options = described.get("class_path"), described.get("init_args") or {}
    if kind is None:
        options = described
    elif kind.rpartition(".")[2] != "ClipData":
        data = _part(LightningDataModule, dict(described), source)
        return _of_dataset(dataset_of(data, "test"))
    part = next((options[name] for name in ("test", "val", "train") if options.get(name)), None)
    if part is None:
        return None, (), None
    try:
        return _of_dataset(_part(Dataset, part, source))
    except (InputError, OSError):
        # Its files may be elsewhere by now; how it cuts clips is still known.
        clips = part.get("init_args", {}).get("clips") if isinstance(part, Mapping) else None
        if clips is None:
            raise
        return _part(ClipRule, clips, source), (), 3


def _of_dataset(dataset: Any) -> tuple[ClipRule, Sequence[str], int]:
    names = list(getattr(dataset, "label_names", None) or ())
    rule = getattr(dataset, "clips", None)
    if isinstance(rule, ClipRule):
        return rule, names, 3
    length, channels, height, width = one_clip(dataset, 0)["video"].shape[-4:]
    crops: Any = Covering(height, width)
    return ProtocolClips(Segments(length), crops), names, channels


def _changed(rule: ClipRule | None, frames: int | None, size: int | None) -> ClipRule:
    """A rule with another number of frames or size, and nothing random in it."""
    if rule is None:
        if frames is None or size is None:
            missing = " and ".join(n for n, v in (("frames", frames), ("size", size)) if v is None)
            raise InputError(
                missing, "numbers, where no configuration says how clips are cut", None
            )
        crops: Any = Covering(integer("size", size), size)
        rule = ProtocolClips(Segments(frames), crops)
    if isinstance(rule, TrainClips):
        known: Any = _known(rule, "crops", MultiScaleCrops)
        side = known.size
        rule = ProtocolClips(rule.sampler, Crops(1, side, round(side * 256 / 224)))
    changes: dict[str, Any] = {}
    if frames is not None:
        sampler = _known(rule, "sampler", FrameSampler)
        changes["sampler"] = replace(sampler, frames=integer("frames", frames))
    if size is not None:
        integer("size", size)
        crops = _known(rule, "crops", (Crops, Covering))
        if isinstance(crops, Crops):
            side = None if crops.side is None else round(size * crops.side / crops.size)
            changes["crops"] = replace(crops, size=size, side=side)
        else:
            changes["crops"] = Covering(size, size)
    return replace(rule, **changes) if changes else rule  # type: ignore[type-var]


def _known(rule: ClipRule, part: str, kind: Any) -> Any:
    found = getattr(rule, part, None)
    if not isinstance(found, kind):
        raise InputError("frames" if part == "sampler" else "size", f"none with {rule}", "a number")
    return found


def _channels(model: nn.Module) -> int:
    """How many channels the first convolution of a model takes; three where there is none."""
    first = next((m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))), None)
    return 3 if first is None else first.in_channels
