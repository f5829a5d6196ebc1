"""Formulas as MathML, which browsers draw by themselves: a hook of MkDocs, named in mkdocs.yml.

What Markdown has marked as a formula is converted when the site is built, so that a page needs no
script, and nothing from a network.
"""

from __future__ import annotations

import html
import re
from typing import Any

__all__ = ["on_page_content", "to_mathml"]

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*\\(?P<kind>[(\[])(?P<tex>.*?)\\[)\]]\s*</(?P=tag)>',
    re.DOTALL,
)


def to_mathml(page: str) -> str:
    """Convert every formula of a page.

    Args:
        page: HTML in which formulas stand, in LaTeX, in elements of the class ``arithmatex``.

    Raises:
        ValueError: when one is left, or is not understood.
    """
    from latex2mathml.converter import convert

    def element(found: re.Match[str]) -> str:
        tex = html.unescape(found["tex"]).strip()
        try:
            formula = convert(tex, display="block" if found["kind"] == "[" else "inline")
        except Exception as error:  # of many kinds, and none says which formula it was
            raise ValueError(f"a formula that is not understood: {tex}") from error
        if "\\" in html.unescape(formula):  # an unknown command is passed on as it stands
            raise ValueError(f"a formula that is not understood: {tex}")
        return f'<{found["tag"]} class="formula">{formula}</{found["tag"]}>'

    converted = _FORMULA.sub(element, page)
    if 'class="arithmatex"' in converted:
        raise ValueError("a formula was left as it stood")
    return converted


def on_page_content(html: str, **_: Any) -> str:
    """Convert the formulas of a page of the site."""
    return to_mathml(html)
