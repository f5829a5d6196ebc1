"""Pictures and animations as bytes, as files and as inline data addresses."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgraph.checks import InputError, choice, integer, positive, shape
from stgraph.viz.optional import need
from stgraph.writing import write_whole

__all__ = ["animation_bytes", "data_uri", "image_bytes", "write_animation"]

MOST_BYTES = 2_000_000
"""Of an animation in a page."""
_WORTH = 40  # lossless WebP makes pictures of real frames hardly smaller than a tenth
_MIME = {"gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4", "png": "image/png"}
_KINDS = ("gif", "webp", "mp4")
_KEPT = 96  # palette entries for the commonest colours as they are: lines, legend, ground


def write_animation(
    path: str | Path, frames: Tensor, *, fps: float = 4, pause: float = 0.5
) -> Path:
    """Write an animation; the suffix says which kind: ``.gif``, ``.webp`` or ``.mp4``.

    Args:
        path: where to.
        frames: pictures ``[T, h, w, 3]`` uint8.
        fps: pictures a second.
        pause: seconds that the last picture stays longer before the loop starts anew.

    Returns:
        The path.

    Raises:
        InputError: on another suffix, shape or type.
        ImportError: when the package that encodes it is absent.
    """
    kind = choice("suffix of path", Path(path).suffix.lower().removeprefix("."), _KINDS)
    return write_whole(path, animation_bytes(frames, kind, fps=fps, pause=pause))


def animation_bytes(
    frames: Tensor, kind: str, *, fps: float = 4, pause: float = 0.5, quality: int | None = None
) -> bytes:
    """Encode an animation.

    A GIF has one palette for all frames, in which the commonest colours stand unchanged, and no
    dithering, so that colours stay right and do not flicker. WebP is lossless unless it is given a
    quality. MP4 is H.264; odd sizes are padded by a pixel.

    Args:
        frames: pictures ``[T, h, w, 3]`` uint8.
        kind: ``"gif"``, ``"webp"`` or ``"mp4"``.
        fps: pictures a second.
        pause: seconds that the last picture stays longer.
        quality: of a WebP with losses, 1 to 100.

    Raises:
        InputError: on another kind, shape or type, or a quality of another kind.
        ImportError: when the package that encodes it is absent.
    """
    choice("kind", kind, _KINDS)
    positive("fps", fps)
    if not pause >= 0:
        raise InputError("pause", "a number of at least 0", pause)
    if quality is not None:
        choice("kind, with a quality,", kind, ("webp",))
        integer("quality", quality, 1, 100)
    pixels = _pixels("frames", frames, "T H W 3")
    if kind == "mp4":
        return _mp4(pixels, fps, pause)
    need("PIL.Image")
    from PIL import Image

    buffer = io.BytesIO()
    duration = [round(1000 / fps)] * len(pixels)
    duration[-1] += round(1000 * pause)
    images = [Image.fromarray(pixel) for pixel in pixels] if kind == "webp" else _indexed(pixels)
    options: dict[str, Any] = {"optimize": False}
    if kind == "webp":
        options = {"lossless": True} if quality is None else {"quality": quality}
        options["method"] = 0
    images[0].save(
        buffer,
        format=kind,
        save_all=True,
        append_images=images[1:],
        duration=duration,
        loop=0,
        **options,
    )
    return buffer.getvalue()


def bounded_animation(
    frames: Tensor, kind: str, *, fps: float = 4, most: int = MOST_BYTES
) -> tuple[bytes, str]:
    """Encode an animation in at most so many bytes: without losses if they are enough.

    Otherwise it becomes a WebP of less and less quality; then, of a long one, every second picture
    is left out, as often as that takes, and each stays twice as long.

    Args:
        frames: pictures ``[T, h, w, 3]`` uint8.
        kind: ``"gif"`` or ``"webp"``.
        fps: pictures a second.
        most: bytes, unless two pictures take more.

    Returns:
        The bytes, and of which kind they are.

    Raises:
        InputError: on another kind, shape or type.
    """
    pixels = math.prod(shape("frames", frames, "T H W 3"))
    if pixels <= _WORTH * most:  # else it would be in vain, and slow
        encoded = animation_bytes(frames, kind, fps=fps)
        if len(encoded) <= most:
            return encoded, kind
    while True:
        for quality in (90, 75, 50):
            encoded = animation_bytes(frames, "webp", fps=fps, quality=quality)
            if len(encoded) <= most:
                return encoded, "webp"
        if len(frames) <= 2:
            return encoded, "webp"
        frames, fps = frames[::2], fps / 2


def image_bytes(image: Tensor) -> bytes:
    """Encode a picture ``[h, w, 3]`` uint8 as PNG."""
    pixels = _pixels("image", image, "H W 3")
    need("PIL.Image")
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Inline address ``data:…;base64,…`` of encoded bytes.

    Examples:
        >>> data_uri(b"abc", "png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{_MIME[choice('kind', kind, _MIME)]};base64,{b64encode(content).decode()}"


def _pixels(name: str, pictures: Tensor, pattern: str) -> Any:
    if 0 in shape(name, pictures, pattern):
        raise InputError(name, "at least one pixel", list(pictures.shape))
    if pictures.dtype != torch.uint8:
        raise InputError(name, "pixels of uint8, 0..255", pictures.dtype)
    return pictures.detach().cpu().contiguous().numpy()


def _indexed(pixels: Any) -> list[Any]:
    """Pictures ``[T, h, w, 3]`` as palette images that share one palette."""
    from PIL import Image

    packed = (pixels.astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)).sum(-1)
    values, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([values >> 16, values >> 8 & 255, values & 255], -1).astype(np.uint8)
    palette = colours
    if len(colours) > 256:
        order = np.argsort(-counts, kind="stable")
        rest = Image.fromarray(colours[order[_KEPT:]][None])
        few = rest.quantize(256 - _KEPT, method=Image.Quantize.MEDIANCUT).getpalette()
        palette = np.concatenate(
            [colours[order[:_KEPT]], np.array(few, dtype=np.uint8).reshape(-1, 3)]
        )[:256]
    wanted, offered = (torch.from_numpy(part.astype(np.float32)) for part in (colours, palette))
    nearest = torch.cdist(wanted, offered, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    indices = nearest.numpy().astype(np.uint8)[inverse].reshape(packed.shape)
    images = []
    for index in indices:
        image = Image.fromarray(index)
        image.putpalette(palette.tobytes())  # turns the grey values into palette entries
        images.append(image)
    return images


def _mp4(pixels: Any, fps: float, pause: float) -> bytes:
    from fractions import Fraction

    need("av")
    import av

    rate = Fraction(fps).limit_denominator(1000)
    bottom, right = (size % 2 for size in pixels.shape[1:3])
    pixels = np.pad(pixels, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        codec = "libx264" if "libx264" in av.codec.codecs_available else "mpeg4"
        stream: Any = file.add_stream(codec, rate=rate)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "16"}
        for number in [*range(len(pixels)), *[len(pixels) - 1] * round(pause * fps)]:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels[number], format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()
