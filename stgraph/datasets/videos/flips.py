"""Mirrored clips, for training: only where the label allows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stgraph.checks import InputError, fraction
from stgraph.datasets.draws import Words, uniform

__all__ = ["Flips", "mirrored_name"]

_OTHER = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
_OTHER |= {right: left for left, right in _OTHER.items()}
_LETTERS = re.compile("|".join(_OTHER))
_WORDS = re.compile(
    r"(?:(?<![A-Za-z])(?:left|right)|(?<![A-Z])(?:Left|Right))(?=(?:wards?|most|hand(?:ed)?)?(?![a-z]))"
    r"|(?<![A-Za-z])(?:LEFT|RIGHT)(?![A-Za-z])"
)


def mirrored_name(name: str) -> str:
    """A label's name with the words left and right exchanged.

    Examples:
        >>> mirrored_name("Pushing [something] from left to right")
        'Pushing [something] from right to left'
        >>> mirrored_name("upright"), mirrored_name("turn_left"), mirrored_name("swipeLeftwards")
        ('upright', 'turn_right', 'swipeRightwards')
    """
    return _WORDS.sub(lambda found: _OTHER[found[0]], name)


def _counterpart(name: str, number: Mapping[str, int]) -> int | None:
    """The label of a mirrored clip: where ``upright`` has an ``upleft``, letters tell as well."""
    letters = _LETTERS.sub(lambda found: _OTHER[found[0]], name)
    return number.get(letters, number.get(mirrored_name(name)))


@dataclass(frozen=True)
class Flips:
    """Some clips are mirrored, with their boxes and masks, and may get another label thereby.

    Without ``labels`` names decide: where the words left and right are in one, a mirrored clip has
    the label in which they are exchanged; where there is no such label, it is never mirrored. All
    other labels stay what they are. Where direction is told by other words (clockwise, or letters
    that are read), say what becomes of each label.

    Args:
        chance: of a clip that may be mirrored.
        labels: what a mirrored clip's label is, by the name that it has; labels that are not in it
            are never mirrored.

    Raises:
        InputError: on a chance outside of 0..1.
    """

    chance: float = 0.5
    labels: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        fraction("chance", self.chance)

    def table(self, names: Sequence[str]) -> list[int | None]:
        """The number of each label's mirror image; None where there is none.

        Args:
            names: of the labels, by number.

        Raises:
            InputError: on names in :attr:`labels` that no label has.

        Examples:
            >>> Flips().table(["wave", "turn left", "turn right", "keep left"])
            [0, 2, 1, None]
        """
        number = {name: label for label, name in enumerate(names)}
        if self.labels is None:
            return [_counterpart(name, number) for name in names]
        for name in [*self.labels, *self.labels.values()]:
            if name not in number:
                raise InputError("flips.labels", "names of labels", repr(name))
        return [number[self.labels[name]] if name in self.labels else None for name in names]

    def drawn(self, words: Words) -> bool:
        """Tell by the third of a clip's random words whether it is to be mirrored."""
        return bool(uniform(words[2:3])[0] < self.chance)
