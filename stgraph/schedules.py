"""The schedules of RSTG's ablations, as plain functions that return tuples of layer names.

A :class:`~stgraph.model.SpaceTimeGraph` takes any tuple; these are the published ones. Each says
which layers its names stand for. ``before`` names layers that run once, ahead of the rounds: a
norm, a position embedding.

=============  ====================================================  ==============================
ablation       schedule of K = 2 rounds                              layers
=============  ====================================================  ==============================
all-temp       ``("time", "space", "time", "space", "last")``        two recurrent layers, messages
positional     as all-temp                                           messages that know positions
1-temp         ``("space", "space", "last")``                        one recurrent layer
space-only     ``("space", "space", "mean")``                        a mean over time
time-only      ``("time", "time", "last")``                          no messages
homogeneous    ``("both", "both")``                                  messages in space and time
=============  ====================================================  ==============================
"""

from __future__ import annotations

from collections.abc import Sequence

from stgraph.checks import InputError, times

__all__ = [
    "all_temp",
    "all_temp_official",
    "homogeneous",
    "one_temp",
    "space_only",
    "time_only",
]


def _rounds(
    names: tuple[str, ...], rounds: int, last: tuple[str, ...], before: Sequence[str]
) -> tuple[str, ...]:
    if isinstance(before, str):
        raise InputError("before", "a tuple of layer names", repr(before))
    return (*before, *names * times("rounds", rounds), *last)


def all_temp(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """K rounds of (time, space), then a last time stage: the model of RSTG and of DyReG.

    ``"time"`` and ``"last"`` are recurrent layers, ``"space"`` a space layer; with positions in its
    messages (``ConcatSend(position=GaussianMaps(6))``) it is RSTG's "positional".

    Args:
        rounds: spatial iterations K.
        before: names of layers that run first.

    Examples:
        >>> all_temp(2, before=("norm",))
        ('norm', 'time', 'space', 'time', 'space', 'last')
    """
    return _rounds(("time", "space"), rounds, ("last",), before)


def all_temp_official(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """:func:`all_temp` as the official code of RSTG runs it: ``"time"`` stops after round 3.

    Up to K = 3, which all its configurations have, there is no difference.

    Args:
        rounds: spatial iterations K.
        before: names of layers that run first.

    Examples:
        >>> all_temp_official(5)
        ('time', 'space', 'time', 'space', 'time', 'space', 'space', 'space', 'last')
    """
    both = min(times("rounds", rounds), 3)
    late = ("space",) * (rounds - both)
    return _rounds(("time", "space"), both, (*late, "last"), before)


def one_temp(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """K rounds of space, then one recurrent layer, ``"last"``.

    Args:
        rounds: spatial iterations K.
        before: names of layers that run first.

    Examples:
        >>> one_temp(2)
        ('space', 'space', 'last')
    """
    return _rounds(("space",), rounds, ("last",), before)


def space_only(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """K rounds of space, then each node's mean over time, ``"mean"``; nothing recurrent.

    ``"mean"`` is a :class:`~stgraph.layers.ClipMeanTime`, or a :class:`~stgraph.layers.MeanTime`
    on a stream.

    Args:
        rounds: spatial iterations K.
        before: names of layers that run first.

    Examples:
        >>> space_only(2)
        ('space', 'space', 'mean')
    """
    return _rounds(("space",), rounds, ("mean",), before)


def time_only(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """All-temp without its messages: K recurrent stages ``"time"``, then ``"last"``.

    Args:
        rounds: how often ``"time"`` runs, K.
        before: names of layers that run first.

    Examples:
        >>> time_only(2)
        ('time', 'time', 'last')
    """
    return _rounds(("time",), rounds, ("last",), before)


def homogeneous(rounds: int = 3, before: Sequence[str] = ()) -> tuple[str, ...]:
    """K rounds of messages in space and time alike, ``"both"``; nothing recurrent.

    ``"both"`` is a :class:`~stgraph.layers.HomogeneousLayer`.

    Args:
        rounds: iterations K.
        before: names of layers that run first.

    Examples:
        >>> homogeneous(2)
        ('both', 'both')
    """
    return _rounds(("both",), rounds, (), before)
