"""Draws digits at given places, whole batches at a time, on the device asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stgraph.datasets.draws import Ints
from stgraph.datasets.resize import Resizer

__all__ = ["Contrast", "Renderer", "keep_contrast", "stretch_contrast"]

Contrast = Callable[[Tensor], Tensor]

# Canvas pixels composed at once: few enough to stay in a core's cache, or in a device's memory.
_PIXELS = {"cpu": 1 << 19}
_PIXELS_ELSEWHERE = 1 << 27


def keep_contrast(frames: Tensor) -> Tensor:
    """Return 8-bit frames [F, H, W] as they are."""
    return frames


def stretch_contrast(frames: Tensor) -> Tensor:
    """Stretch each 8-bit frame [F, H, W] to the full range.

    v becomes floor((v - min) * 255 / (max - min) + 1/2), with the minimum and maximum of its
    frame. Source: RSTG official code (the resizing function it calls does this to frames that
    are not stored in 8 bits).
    """
    low, high = frames.amin(1).amin(1), frames.amax(1).amax(1)  # [F]
    dull = (high - low < 255).nonzero()[:, 0]  # few: most frames hold both a 0 and a 255
    base = low[dull].double()[:, None, None]
    span = (high[dull].double()[:, None, None] - base).clamp(min=1)
    gain = torch.full_like(span, 255).div_(span)  # 255 / span would round twice
    stretched = frames.clone()  # a clone keeps the order in memory
    stretched[dull] = ((frames[dull].double() - base) * gain + 0.5).to(torch.uint8)
    return stretched


class Ink(NamedTuple):
    """The pixels of all digit images that cover what lies below, image after image."""

    begin: Tensor  # [n] where an image's pixels begin
    amount: Tensor  # [n] how many it has
    row: Tensor  # [pixels] in the image
    column: Tensor  # [pixels]
    value: Tensor  # [pixels] 8-bit


class Renderer:
    """Draws digits over each other on a black canvas and resizes the frames.

    Digits are drawn in order: where a digit's value reaches ``threshold`` it overwrites what lies
    below, elsewhere it leaves it. Then the contrast part, then the antialiased resize, both on
    8 bits.

    Which pixels an image covers is kept once for each device, and neither pickled nor copied.

    Args:
        images: 8-bit digits [n, h, w].
        canvas: height and width of the canvas.
        size: height and width of the frames.
        threshold: smallest value that covers.
        contrast: what happens to 8-bit frames [F, H, W] between drawing and resizing.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        canvas: tuple[int, int],
        size: tuple[int, int],
        threshold: int = 10,
        contrast: Contrast = keep_contrast,
    ) -> None:
        self.images = images
        self.canvas = canvas
        self.threshold = threshold
        self.contrast = contrast
        self.resize = Resizer(canvas, size)
        self._ink: dict[torch.device, Ink] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ink": {}}

    def __call__(self, image: Ints, top_left: Ints, device: torch.device | str) -> Tensor:
        """Render clips.

        Args:
            image: which image each digit is [B, M].
            top_left: corners (row, col) on the canvas [B, T, M, 2]; digits must lie inside.
            device: where to render.

        Returns:
            8-bit video [B, T, 1, h, w].
        """
        device = torch.empty(0, device=device).device  # "cuda" names the current one
        B, T = top_left.shape[:2]
        pixels = _PIXELS.get(device.type, _PIXELS_ELSEWHERE)
        chunk = max(1, pixels // (T * self.canvas[0] * self.canvas[1]))
        frames = [
            self.resize(
                self.contrast(self._compose(image[i : i + chunk], top_left[i : i + chunk], device))
            )
            for i in range(0, B, chunk)
        ]
        video = frames[0] if len(frames) == 1 else torch.cat(frames)  # [B*T, h, w]
        return video.reshape(B, T, 1, *video.shape[1:])

    def _compose(self, image: Ints, top_left: Ints, device: torch.device) -> Tensor:
        """Draw the digits of some clips over each other: canvases [B*T, H, W]."""
        (B, T, M, _), (H, W) = top_left.shape, self.canvas
        ink = self._ink_on(device)
        # Row by row, and in a row frame by frame: the order that resizing is fastest in.
        canvas = torch.zeros(H * B * T * W, dtype=torch.uint8, device=device)
        stride = B * T * W
        origin = np.arange(B * T).reshape(B, T, 1) * W
        corner = origin + top_left[..., 0] * stride + top_left[..., 1]  # [B, T, M]
        # All digits, first those numbered 0, then those numbered 1, …, and the pixels of each.
        corners = torch.from_numpy(corner.transpose(2, 0, 1).reshape(M * B, T)).to(device)
        which = torch.from_numpy(image.T.reshape(-1)).to(device)  # [M*B]
        totals = self._covered[image].sum(0).tolist()  # [M], so the device need not be asked
        amount = ink.amount[which]
        digit = torch.repeat_interleave(amount, output_size=sum(totals))  # [P] 0 .. M*B - 1
        skipped = ink.begin[which] - (amount.cumsum(0) - amount)
        pixel = torch.arange(sum(totals), device=device) + skipped[digit]  # [P]
        offset = ink.row[pixel] * stride + ink.column[pixel]
        place = corners.index_select(0, digit).add_(offset[:, None])  # [P, T]
        value = ink.value[pixel][:, None].expand(-1, T)
        for layer, paint in zip(*(torch.split(x, totals) for x in (place, value)), strict=True):
            # A digit covers a place at most once, so the scatter has one result.
            canvas.scatter_(0, layer.reshape(-1), paint.reshape(-1))
        return canvas.view(H, B * T, W).transpose(0, 1)

    @property
    def _covered(self) -> Ints:
        """How many pixels each image covers [n]."""
        return self._ink_on(torch.device("cpu")).amount.numpy()

    def _ink_on(self, device: torch.device) -> Ink:
        """Return the ink, moved to a device on the first call."""
        if device not in self._ink:
            cpu = torch.device("cpu")
            if cpu not in self._ink:
                self._ink[cpu] = _gather_ink(self.images, self.threshold)
            self._ink[device] = Ink(*(tensor.to(device) for tensor in self._ink[cpu]))
        return self._ink[device]


def _gather_ink(images: NDArray[np.uint8], threshold: int) -> Ink:
    """List the covering pixels of images [n, h, w]."""
    image, row, column = np.nonzero(images >= threshold)
    amount = np.bincount(image, minlength=len(images))
    return Ink(
        begin=torch.from_numpy(np.cumsum(amount) - amount),
        amount=torch.from_numpy(amount),
        row=torch.from_numpy(row.astype(np.int32)),
        column=torch.from_numpy(column.astype(np.int32)),
        value=torch.from_numpy(images[image, row, column]),
    )
