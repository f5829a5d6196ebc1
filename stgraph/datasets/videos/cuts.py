"""How clips are cut out of videos: which frames, and which part of them, once or several times.

A data set of videos takes one of these as its part ``clips``: :class:`TrainClips` draws,
:class:`CentreClips` is for validations, :func:`protocol` for the tests of the papers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor

from stgraph.checks import InputError, choice, integer
from stgraph.datasets.draws import Ints, Words
from stgraph.datasets.videos.brightness import ColourChange
from stgraph.datasets.videos.crops import Crops, MultiScaleCrops, TrainCrops, View
from stgraph.datasets.videos.flips import Flips
from stgraph.datasets.videos.sampling import EvenFrames, FrameSampler, Segments

__all__ = ["CentreClips", "ClipRule", "OnDevice", "ProtocolClips", "TrainClips", "protocol"]


class ClipRule(ABC):
    """How clips are cut, as a function of a video's length and size, and of random words."""

    flips: Flips | None = None
    """Whether clips may be mirrored."""
    later: bool = False
    """Whether frames are resized where their batch comes to lie, not by who reads them."""

    @property
    def draws(self) -> int:
        """How many random words a clip takes."""
        return 0

    @abstractmethod
    def frames(self, length: int, words: Words) -> Ints:
        """Frame numbers of each sampling ``[S, T]``, of a video of so many frames."""

    @abstractmethod
    def views(self, height: int, width: int, words: Words) -> list[View]:
        """The views of each sampling, of frames of this size.

        Where samplings × views are more than one, a clip has a dimension for them: all views of the
        first sampling, then those of the next.
        """

    def coloured(self, video: Tensor, words: Words) -> Tensor:
        """Frames ``uint8 [T, 3, h, w]`` of a view in the colours that the clip comes to have."""
        return video


@dataclass(frozen=True)
class TrainClips(ClipRule):
    """Random clips to train on, a function of (seed, epoch, clip).

    The defaults are TSM's and DyReG's, but for videos of fewer frames than a clip; with
    :class:`~stgraph.datasets.videos.OfficialSegments` these are treated as their code does.

    Args:
        sampler: which frames.
        crops: which part of them.
        flips: which clips are mirrored; none if None.
        colours: what changes their colours; nothing if None.
    """

    sampler: FrameSampler = field(default_factory=Segments)
    crops: TrainCrops = field(default_factory=MultiScaleCrops)
    flips: Flips | None = None
    colours: ColourChange | None = None

    @property
    def draws(self) -> int:
        """How many random words a clip takes: for crop (2), flip (1), frames (T) and colours."""
        return 3 + self.sampler.frames + (0 if self.colours is None else self.colours.draws)

    def frames(self, length: int, words: Words) -> Ints:
        """Random frames ``[1, T]``."""
        return self.sampler.train(length, words[3:])[None]

    def views(self, height: int, width: int, words: Words) -> list[View]:
        """One random view."""
        return [self.crops(height, width, words)]

    def coloured(self, video: Tensor, words: Words) -> Tensor:
        """Frames in changed colours."""
        first = 3 + self.sampler.frames
        return video if self.colours is None else self.colours(video, words[first:])


@dataclass(frozen=True)
class CentreClips(ClipRule):
    """One clip a video, the same in every epoch, for validations: centres in time and space.

    Args:
        sampler: which frames: those that it validates on.
        crops: which part of them: one view.

    Raises:
        InputError: on crops of several views.
    """

    sampler: FrameSampler = field(default_factory=Segments)
    crops: Crops = field(default_factory=Crops)

    def __post_init__(self) -> None:
        if self.crops.count != 1:
            raise InputError("crops", "one view (several are a protocol's)", self.crops)

    def frames(self, length: int, words: Words) -> Ints:
        """The frames to validate on ``[1, T]``."""
        return self.sampler.validate(length)[None]

    def views(self, height: int, width: int, words: Words) -> list[View]:
        """The view in the middle."""
        return self.crops(height, width)


@dataclass(frozen=True)
class ProtocolClips(ClipRule):
    """One or several clips of each video, to test on; their logits are averaged.

    Args:
        sampler: which frames: those that it tests on.
        crops: which parts of them.
        samplings: how often frames are taken; at most as often as the sampler's rule has.

    Raises:
        InputError: on more samplings than the rule has.
    """

    sampler: FrameSampler = field(default_factory=Segments)
    crops: Crops = field(default_factory=Crops)
    samplings: int = 1

    def __post_init__(self) -> None:
        self.sampler.test(1, self.samplings)

    def frames(self, length: int, words: Words) -> Ints:
        """The frames of each sampling ``[S, T]``."""
        return self.sampler.test(length, self.samplings)

    def views(self, height: int, width: int, words: Words) -> list[View]:
        """The views of each sampling."""
        return self.crops(height, width)


@dataclass(frozen=True)
class OnDevice(ClipRule):
    """Another rule, whose clips are resized on the device that they come to, not by the workers.

    Workers hand over the parts of frames that views look at, each of its own size, and
    :class:`~stgraph.datasets.ItemLoader` makes the batch of them, with the same pixels. That takes
    the resizing from the workers, about a fifth of their work, and leaves more to hand over where
    these parts are larger than the views.

    Args:
        rule: the rule.
    """

    rule: ClipRule
    later = True

    @property
    def flips(self) -> Flips | None:  # type: ignore[override]
        """Those of the rule."""
        return self.rule.flips

    @property
    def draws(self) -> int:
        """Those of the rule."""
        return self.rule.draws

    def frames(self, length: int, words: Words) -> Ints:
        """Those of the rule."""
        return self.rule.frames(length, words)

    def views(self, height: int, width: int, words: Words) -> list[View]:
        """Those of the rule."""
        return self.rule.views(height, width, words)

    def coloured(self, video: Tensor, words: Words) -> Tensor:
        """As the rule does."""
        return self.rule.coloured(video, words)


_CROPS = {"1x1": 1, "3x2": 3, "11x2": 11}


def protocol(
    name: str, sampler: FrameSampler | None = None, size: int | None = None
) -> ProtocolClips:
    """The test of a paper, by its name: crops × samplings.

    ========  ==================================================================================
    ``1x1``   the middle 224 × 224 of frames with a short side of 256 (TSM; DyReG's table 8)
    ``3x2``   left, right and middle 256 × 256, centres and starts of segments (DyReG's tables)
    ``11x2``  eleven 256 × 256 along the longer side, two even samplings of 32 frames (RSTG)
    ========  ==================================================================================

    Args:
        name: of the protocol.
        sampler: which frames, where it is not the paper's: :class:`Segments` of 16 frames for the
            first two, :class:`EvenFrames` of 32 for the third.
        size: side of the views for models of other sizes; the frames' short side is in proportion.

    Raises:
        InputError: on another name.

    Examples:
        >>> rule = protocol("3x2")
        >>> rule.samplings, len(rule.views(256, 455, None))
        (2, 3)
    """
    count = _CROPS[choice("name", name, _CROPS)]
    if sampler is None:
        sampler = EvenFrames(32) if name == "11x2" else Segments(16)
    if count == 1:
        size = 224 if size is None else integer("size", size)
        crops = Crops(1, size, round(size * 256 / 224))
    else:
        size = 256 if size is None else integer("size", size)
        crops = Crops(count, size, size)
    return ProtocolClips(sampler, crops, 1 if count == 1 else 2)
