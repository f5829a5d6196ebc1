"""Pages that stand alone: one HTML file with style, pictures and text inside, and no scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from stgraph.checks import InputError, choice
from stgraph.viz.animate import bounded_animation, data_uri, image_bytes
from stgraph.viz.figures import figure_png, figure_svg
from stgraph.viz.style import CSS
from stgraph.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Html", "Report", "badge", "markup"]


class Html(str):
    """Text that is HTML already; every other text is escaped when it enters a page."""

    __slots__ = ()


def markup(text: object) -> Html:
    """Escape a text for a page; :class:`Html` passes unchanged.

    Examples:
        >>> markup("a < b & c")
        'a &lt; b &amp; c'
        >>> markup(Html("<b>a</b>"))
        '<b>a</b>'
    """
    return text if isinstance(text, Html) else Html(escape(str(text)))


def badge(text: str, tone: str) -> Html:
    """Make a small label; ``tone`` is ``"good"``, ``"bad"`` or ``"quiet"``."""
    tone = choice("tone", tone, ("good", "bad", "quiet"))
    return Html(f'<span class="badge {tone}">{markup(text)}</span>')


class Report:
    """Build a page from top to bottom; every method returns the report, so that calls chain.

    Args:
        title: its heading and the title of the window.
        summary: a sentence or two below the heading.

    Examples:
        >>> report = Report("Results", "Two runs, one seed.").heading("Numbers")
        >>> "<h2>Numbers</h2>" in report.table(("run", "loss"), [("a", 0.5)]).html()
        True
    """

    def __init__(self, title: str, summary: str = "") -> None:
        self.title = title
        self.summary = summary
        self._parts: list[str] = []

    def add(self, part: Html) -> Report:
        """Append HTML as it is (texts belong in :meth:`text`)."""
        if not isinstance(part, Html):
            raise InputError("part", "Html (text belongs in .text)", type(part).__name__)
        self._parts.append(part)
        return self

    def heading(self, text: str) -> Report:
        """Append the heading of a section."""
        return self.add(Html(f"<h2>{markup(text)}</h2>"))

    def text(self, text: str) -> Report:
        """Append text; an empty line begins a new paragraph."""
        paragraphs = [text] if isinstance(text, Html) else text.strip().split("\n\n")
        return self.add(Html("\n".join(f"<p>{markup(paragraph)}</p>" for paragraph in paragraphs)))

    def tiles(self, tiles: Iterable[tuple[str, str]]) -> Report:
        """Append the few numbers that matter most, as (number, what it is)."""
        inner = "\n".join(
            f"<div><dt>{markup(note)}</dt><dd>{markup(value)}</dd></div>" for value, note in tiles
        )
        return self.add(Html(f'<dl class="tiles">\n{inner}\n</dl>'))

    def facts(self, facts: Mapping[str, object]) -> Report:
        """Append names and what they stand for, one a line."""
        inner = "\n".join(
            f"<dt>{markup(name)}</dt><dd>{markup(fact)}</dd>" for name, fact in facts.items()
        )
        return self.add(Html(f'<dl class="facts">\n{inner}\n</dl>'))

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = ""
    ) -> Report:
        """Append a table; the first cell of a row names it, columns of numbers stand right.

        Raises:
            InputError: when a row has another length than the header.
        """
        body = [tuple(row) for row in rows]
        for number, row in enumerate(body):
            if len(row) != len(header):
                raise InputError(f"rows[{number}]", f"{len(header)} cells", len(row))
        right = [
            bool(body) and all(isinstance(row[column], (int, float)) for row in body)
            for column in range(len(header))
        ]
        side = [' class="number"' if number else "" for number in right]
        lines = ["<tr>" + "".join(
            f'<th scope="col"{kind}>{markup(cell)}</th>'
            for cell, kind in zip(header, side, strict=True)
        ) + "</tr></thead><tbody>"]  # fmt: skip
        for row in body:
            first, *others = row
            cells = "".join(
                f"<td{kind}>{markup(cell)}</td>"
                for cell, kind in zip(others, side[1:], strict=True)
            )
            lines.append(f'<tr><th scope="row"{side[0]}>{markup(first)}</th>{cells}</tr>')
        above = f"<caption>{markup(caption)}</caption>" if caption else ""
        inner = "\n".join(lines)
        table = f"<table>{above}<thead>{inner}</tbody></table>"
        return self.add(Html(f'<div class="scroll" tabindex="0">{table}</div>'))

    def figure(
        self, figure: Figure, *, alt: str, caption: str = "", kind: str = "svg", wide: bool = False
    ) -> Report:
        """Append a matplotlib figure.

        Args:
            figure: the figure.
            alt: what it shows, for those who cannot see it.
            caption: a line below it.
            kind: ``"svg"`` (sharp, follows a dark theme) or ``"png"``.
            wide: whether it scrolls sideways on a small screen instead of shrinking.

        Raises:
            InputError: on another kind, or without ``alt``.
        """
        choice("kind", kind, ("svg", "png"))
        label = _alt(alt)
        if kind == "png":
            drawn = f'<img src="{data_uri(figure_png(figure), "png")}" alt="{label}">'
        else:
            svg = figure_svg(figure, f"f{len(self._parts)}")
            drawn = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        name = "drawing wide" if wide else "drawing"
        # What scrolls must be reachable with the keyboard.
        return self._figure(
            f'<div tabindex="0">{drawn}</div>' if wide else f"<div>{drawn}</div>", caption, name
        )

    def image(self, image: Tensor, *, alt: str, caption: str = "") -> Report:
        """Append a picture ``[h, w, 3]`` uint8.

        Raises:
            InputError: on another shape or type, or without ``alt``.
        """
        address = data_uri(image_bytes(image), "png")
        return self._figure(f'<img class="still" src="{address}" alt="{_alt(alt)}">', caption)

    def animation(
        self, frames: Tensor, *, alt: str, caption: str = "", fps: float = 4, kind: str = "webp"
    ) -> Report:
        """Append an animation; who asked for less motion sees its middle picture at rest.

        One that would take more than two megabytes, as photographs and long clips do, is compressed
        with losses, as far as that takes.

        Args:
            frames: pictures ``[T, h, w, 3]`` uint8.
            alt: what it shows, for those who cannot see it.
            caption: a line below it.
            fps: pictures a second.
            kind: ``"webp"`` or ``"gif"``.

        Raises:
            InputError: on another kind, shape or type, or without ``alt``.
        """
        choice("kind", kind, ("webp", "gif"))
        encoded, kind = bounded_animation(frames, kind, fps=fps)
        moving = data_uri(encoded, kind)
        still = data_uri(image_bytes(frames[len(frames) // 2]), "png")
        height, width = frames.shape[1:3]
        return self._figure(
            f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
            f'<img src="{moving}" width="{width}" height="{height}" alt="{_alt(alt)}"></picture>',
            caption,
        )

    def code(self, text: str) -> Report:
        """Append commands or code."""
        return self.add(Html(f'<pre tabindex="0"><code>{markup(text.strip())}</code></pre>'))

    @contextmanager
    def columns(self, narrow: bool = False) -> Iterator[Report]:
        """Put what is appended inside side by side, as far as the width allows."""
        self.add(Html(f'<div class="columns{" narrow" if narrow else ""}">'))
        try:
            yield self
        finally:
            self.add(Html("</div>"))

    def html(self) -> str:
        """Return the whole page."""
        title = markup(self.title)
        summary = f"\n<p>{markup(self.summary)}</p>" if self.summary else ""
        body = "\n".join(self._parts)
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{CSS}
</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>{summary}
</header>
{body}
</main>
</body>
</html>
"""

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all, and return its path.

        Raises:
            OSError: when it cannot be written; an older page at ``path`` stays as it was.
        """
        return write_whole(path, self.html().encode("utf-8", "backslashreplace"))

    def _figure(self, inner: str, caption: str, name: str = "") -> Report:
        kind = f' class="{name}"' if name else ""
        below = f"\n<figcaption>{markup(caption)}</figcaption>" if caption else ""
        return self.add(Html(f"<figure{kind}>{inner}{below}</figure>"))


def _alt(alt: str) -> Html:
    if not alt.strip():
        raise InputError("alt", "a description of the picture", repr(alt))
    return markup(alt)
