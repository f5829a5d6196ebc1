"""How long the rest of a study may take."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Pace"]


class Pace:
    """Counts what is done of some runs in this session, and guesses how long the rest takes.

    A run that goes on where it was stopped counts with what is new alone. Runs at a time make the
    pace as fast as it is. One that another process did not bring to its end is to be done again.

    Args:
        runs: how many there are to do.
        now: in seconds.

    Examples:
        >>> pace = Pace(4, now=0.0)
        >>> pace.look({"a": 0.0, "b": 0.5}, now=0.0)  # b goes on
        (0.5, None)
        >>> pace.look({"a": 0.5, "b": 1.0}, now=60.0)  # one run's work in a minute
        (1.5, 150.0)
    """

    def __init__(self, runs: int, now: float) -> None:
        self.runs = runs
        self._begun = now
        self._first: dict[str, float] = {}  # how far each was when it was seen first
        self._ended: set[str] = set()
        self._work = 0.0  # of runs that have ended

    def end(self, name: str) -> None:
        """Count a run that has ended; one that was never seen has cost nothing."""
        self._ended.add(name)
        self._work += 1.0 - self._first.pop(name, 1.0)

    def take_over(self, name: str) -> None:
        """Count a run as not ended after all: whoever did it has left it."""
        self._ended.discard(name)

    def look(self, doing: Mapping[str, float], now: float) -> tuple[float, float | None]:
        """Return how many runs are done, parts counted, and how many seconds the rest may take.

        Args:
            doing: how far each run is that is being done, 0 to 1.
            now: in seconds.
        """
        for name, share in doing.items():
            self._first.setdefault(name, share)
        done = len(self._ended) + sum(doing.values())
        work = self._work + sum(share - self._first[name] for name, share in doing.items())
        if work <= 0:
            return done, None
        return done, (now - self._begun) * (self.runs - done) / work
