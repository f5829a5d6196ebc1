"""Matplotlib through its object interface: no pyplot, no global state, no backend switch."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from stgraph.viz.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "PAPER", "QUIET", "figure_png", "figure_svg", "frame_axes", "new_figure", "plain"]

INK = "#1f2329"  # text and lines; in an inline SVG it takes the colour of the page's text
QUIET = "#868e99"  # grid, ticks and notes: readable on light and on dark paper
PAPER = "#15181d"  # ground of pictures that have none of their own


def new_figure(
    width: float, height: float, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Start a figure of ``width × height`` inches with axes side by side.

    Args:
        width: inches.
        height: inches.
        columns: how many axes.
        options: passed to ``Figure.subplots``.
    """
    need("matplotlib.figure", "matplotlib.backends.backend_agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False, **options)
    return figure, list(axes[0])


def plain(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Quiet axes: a light grid, two spines, a title at the left."""
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, colors=QUIET, labelcolor=INK, length=3)
    axes.grid(color=QUIET, alpha=0.22, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def frame_axes(axes: Axes, image: Any, dim: float = 1.0, margin: float = 0.0) -> None:
    """Show a picture ``[H, W, 3]`` in pixel coordinates, without ticks, on a dark ground.

    Args:
        axes: where.
        image: the picture, uint8.
        dim: factor on its brightness.
        margin: room around it, as a part of its longer side.
    """
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    room = margin * max(height, width)
    corner = (-room, -room)
    axes.add_patch(Rectangle(corner, width + 2 * room, height + 2 * room, color=PAPER, zorder=-2))
    shown = (image * dim).astype("uint8")
    axes.imshow(shown, extent=(0, width, height, 0), interpolation="nearest", zorder=-1)
    axes.set_xlim(-room, width + room)
    axes.set_ylim(height + room, -room)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def figure_png(figure: Figure, dpi: int = 144) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


def figure_svg(figure: Figure, prefix: str) -> str:
    """Render a figure as an ``<svg>`` element to stand inside a page.

    It carries no addresses, takes its ink from the page (so it follows a dark theme), and its ids
    begin with ``prefix``, so that two figures of a page do not mix theirs up.
    """
    buffer = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace("*{", f"#{prefix}-figure_1 *{{")  # its style is for itself, not the page
    return svg.replace(INK, "currentColor").strip()
