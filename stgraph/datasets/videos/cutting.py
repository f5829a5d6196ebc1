"""From a video, frame numbers and a view to pixels: one place for all that looks at videos.

The views' rule resizes a whole frame, cuts, and resizes the cut (:class:`View`). Here only what the
view needs is computed: the first resize makes no other pixels than those of the cut. The numbers
are those of the rule, antialiased bilinear resizing as Pillow does it
(:mod:`stgraph.datasets.resize`), on whatever device the frames lie.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from stgraph.checks import InputError
from stgraph.datasets.resize import Resizer
from stgraph.datasets.videos.crops import View
from stgraph.datasets.videos.reading import Video

__all__ = ["cut", "seen"]


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
    *more, height, width = pixels.shape
    (rows, columns), (h, w) = view.cut, view.scaled
    if view.top + rows > h or view.left + columns > w or min(view.top, view.left) < 0:
        raise InputError("view", f"a cut within {h} × {w}", view)
    flat = pixels.reshape(-1, height, width)  # [F, H, W]
    window = (view.top, view.left, rows, columns)
    flat = Resizer((height, width), view.scaled, window)(flat)
    flat = Resizer(view.cut, view.size)(flat)
    if view.flip:
        flat = flat.flip(-1)
    return flat.reshape(*more, *view.size).contiguous()
