"""One colour a node identity, the same in every picture of the library."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

__all__ = ["RUN_COLOURS", "identity_colour", "identity_colours", "identity_hex"]

# Far apart in OKLab, for normal and for red-green blind sight, and bright enough for dark frames.
_FIRST = bytes.fromhex(
    "5ab4ff ff3c32 b4ff00 b41eeb ff96b4 009678 78ffff d2b41e "
    "ff3cb4 9678d2 ebeb96 00eb78 d27878 d2b4ff 96781e 78b43c"
)
_GOLDEN = 0.618033988749895

# Lines of a chart: readable on white and on near-black paper.
RUN_COLOURS = ("#2f81f7", "#e0662f", "#2da06f", "#a45ee5", "#c08a00", "#d6456b")


def identity_colour(node_id: int) -> tuple[int, int, int]:
    """Colour (red, green, blue) of a node identity, 0..255.

    The first 16 are hand-kept; further ones walk the hue circle by the golden ratio, so that any
    number of nodes gets colours.

    Examples:
        >>> identity_colour(0)
        (90, 180, 255)
    """
    if node_id < len(_FIRST) // 3:
        red, green, blue = _FIRST[3 * node_id : 3 * node_id + 3]
        return red, green, blue
    value = (1.0, 0.75, 0.9)[node_id % 3]
    rgb = colorsys.hsv_to_rgb(node_id * _GOLDEN % 1, (0.55, 0.85)[node_id % 2], value)
    red, green, blue = (round(255 * part) for part in rgb)
    return red, green, blue


def identity_hex(node_id: int) -> str:
    """Colour of a node identity as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*identity_colour(node_id))


def identity_colours(node_ids: Tensor) -> Tensor:
    """Colours of node identities: ``[V]`` long → ``[V, 3]`` float, 0..255."""
    colours = [identity_colour(number) for number in node_ids.tolist()]
    return torch.tensor(colours, dtype=torch.float32).reshape(-1, 3)
