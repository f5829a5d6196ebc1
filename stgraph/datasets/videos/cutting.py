"""From a video, frame numbers and a view to pixels: one place for all that looks at videos.

The views' rule resizes a whole frame, cuts, and resizes the cut (:class:`View`). Here only what the
view needs is computed: the first resize makes no other pixels than those of the cut. The numbers
are those of the rule, antialiased bilinear resizing as Pillow does it
(:mod:`stgraph.datasets.resize`), on whatever device the frames lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stgraph.checks import InputError
from stgraph.datasets.clips import Later
from stgraph.datasets.resize import Resizer
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.reading import Video

__all__ = ["Unseen", "UnseenViews", "cut", "seen", "unseen"]


def cut(video: Video, frames: Iterable[int], view: View) -> Tensor:
    """Frames of a video as a view shows them.

    Args:
        video: from :func:`~stgraph.datasets.videos.open_video`.
        frames: frame numbers from 0, in any order.
        view: the part to show, chosen by the size of the frames.

    Returns:
        ``uint8 [T, 3, h, w]``.

    Raises:
        InputError: when a frame cannot be read.
    """
    return seen(video.read(frames), view)


def seen(pixels: Tensor, view: View) -> Tensor:
    """Whole frames as a view shows them.

    Args:
        pixels: ``uint8 [..., H, W]``, on any device.
        view: the part to show.

    Returns:
        ``uint8 [..., h, w]``.

    Raises:
        InputError: on frames without pixels, or a view that does not lie in them.

    Examples:
        >>> import torch
        >>> frames = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
        >>> seen(frames, View((4, 4), 0, 1, (2, 2), (2, 2), flip=True))
        tensor([[[[2, 1],
                  [6, 5]]]], dtype=torch.uint8)
    """
    return unseen(pixels, view).made(pixels.device)


def unseen(pixels: Tensor, view: View) -> Unseen:
    """What a view needs of whole frames, to be made later: see :func:`seen`.

    Raises:
        InputError: on frames without pixels, or a view that does not lie in them.
    """
    height, width = pixels.shape[-2:]
    (rows, columns), (h, w) = view.cut, view.scaled
    if view.top + rows > h or view.left + columns > w or min(view.top, view.left) < 0:
        raise InputError("view", f"a cut within {h} × {w}", view)
    window = (view.top, view.left, rows, columns)
    down, along = Resizer((height, width), view.scaled, window).needed
    return Unseen(pixels[..., down, along], view, (height, width))


@dataclass(frozen=True)
class Unseen(Later):
    """What a view needs of some frames; the rest, which is arithmetic, is done where they lie.

    Args:
        pixels: ``uint8 [..., r, c]``, the part of the frames that the view looks at.
        view: the view.
        source: height and width of the frames.
        change: what is made of the frames that are seen, such as a change of colours.
    """

    pixels: Tensor
    view: View
    source: tuple[int, int]
    change: Callable[[Tensor], Tensor] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``[..., h, w]``, as the view has them."""
        return (*self.pixels.shape[:-2], *self.view.size)

    def of(self, frames: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Unseen:
        """The same of some frames, by their numbers ``[T]``, in memory of their own."""
        return replace(self, pixels=self.pixels[frames].contiguous(), change=change)

    def made(self, device: torch.device | str) -> Tensor:
        """The frames as the view shows them, ``uint8 [..., h, w]``."""
        view, pixels = self.view, self.pixels.to(device, non_blocking=True)
        window = (view.top, view.left, *view.cut)
        flat = pixels.reshape(-1, *pixels.shape[-2:])  # [F, r, c]
        flat = Resizer(self.source, view.scaled, window)(flat, cut=True)
        flat = Resizer(view.cut, view.size)(flat)
        if view.flip:
            flat = flat.flip(-1)
        shown = flat.reshape(self.shape).contiguous()
        return shown if self.change is None else self.change(shown)

    def pin_memory(self) -> Unseen:
        """The same with its memory pinned."""
        return replace(self, pixels=self.pixels.pin_memory())


@dataclass(frozen=True)
class UnseenViews(Later):
    """Several views of a clip.

    Args:
        views: V of them, of one shape.
    """

    views: Sequence[Unseen]

    @property
    def shape(self) -> tuple[int, ...]:
        """``[V, ...]``."""
        return (len(self.views), *self.views[0].shape)

    def made(self, device: torch.device | str) -> Tensor:
        """The frames of all views."""
        return torch.stack([view.made(device) for view in self.views])

    def pin_memory(self) -> UnseenViews:
        """The same with its memory pinned."""
        return UnseenViews([view.pin_memory() for view in self.views])
