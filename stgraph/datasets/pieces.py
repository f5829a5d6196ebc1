"""Clips of a data set in pieces that depend on nothing but their numbers.

Who works through a data set in several sessions or processes wants the same batches in each: what
a model computes of a clip depends, in its last bits, on the clips beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stgraph.checks import InputError
from stgraph.datasets.clips import ClipBatch, LeftOutError
from stgraph.datasets.draws import stream_key
from stgraph.datasets.items import collate, made_on
from stgraph.datasets.workers import as_it_is, leave_signals, random_numbers

__all__ = ["Clips", "Piece", "Pieces"]


@dataclass
class Piece:
    """Clips that are computed together, as they come from a loader."""

    number: int
    """Which piece it is."""
    clips: list[int]
    """Numbers of its clips, without those that were left out."""
    batch: ClipBatch | None
    """The clips; none where all of them were left out."""
    left_out: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, name and reason of each clip that was left out."""


@dataclass(frozen=True)
class Clips:
    """A data set of clips, and how batches are made of it.

    Args:
        dataset: one that makes batches, with ``batch(indices, device)``, or one of clips.
        batch_size: clips a batch.
        num_workers: processes that load clips of the second kind ahead.
        collate: what makes a batch of a list of clips.
        seed: of what the data set draws.
    """

    dataset: Any
    batch_size: int = 32
    num_workers: int = 0
    collate: Callable[[list[Any]], Any] = collate
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.makes_batches or hasattr(type(self.dataset), "__getitem__")):
            expected = "one with __len__, and batch(indices, device) or __getitem__"
            raise InputError("dataset", expected, type(self.dataset).__name__)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def makes_batches(self) -> bool:
        """Whether the data set makes batches itself."""
        return callable(getattr(self.dataset, "batch", None))

    def name(self, number: int) -> str:
        """What the data set calls a clip; its number where it has no names."""
        entries = getattr(self.dataset, "entries", None)
        entry = entries[number] if isinstance(entries, Sequence) else None
        return str(getattr(entry, "name", "") or number)


class Pieces:
    """Iterates over pieces of a data set, in order; the clips are those that a test sees.

    Args:
        clips: the data set.
        pieces: number of each piece, and the numbers of its clips.
        device: where batches that the data set makes come to lie, and where what it leaves to its
            loader is made (:class:`~stgraph.datasets.clips.Later`); others are on the CPU.
        skip: leave clips out that cannot be read, in place of an error.

    Raises:
        InputError: for a clip that cannot be read, where it is not to be left out.
    """

    def __init__(
        self,
        clips: Clips,
        pieces: Sequence[tuple[int, range]],
        device: torch.device | str = "cpu",
        skip: bool = False,
    ) -> None:
        self._device = torch.device(device)
        self._reader = _Reader(clips, pieces, self._device, skip)
        self._workers = 0 if clips.makes_batches else clips.num_workers

    def __iter__(self) -> Iterator[Piece]:
        loader: DataLoader[Any] = DataLoader(
            self._reader,
            batch_size=None,
            collate_fn=as_it_is,
            num_workers=self._workers,
            worker_init_fn=leave_signals,
            generator=torch.Generator(),  # which leaves the numbers of others alone
        )
        iterator: Any = iter(loader)
        for piece in iterator:
            if isinstance(piece, InputError):
                if self._workers:  # in order, not when the garbage is collected
                    iterator._shutdown_workers()
                raise piece
            if isinstance(piece.batch, dict):
                piece.batch = made_on(piece.batch, self._device)
            yield piece


class _Reader(Dataset[Any]):
    """Pieces by their place, or what is wrong with one: an error in a worker arrives as text."""

    def __init__(
        self,
        clips: Clips,
        pieces: Sequence[tuple[int, range]],
        device: torch.device,
        skip: bool,
    ) -> None:
        self.clips, self.pieces, self.device, self.skip = clips, pieces, device, skip

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, place: int) -> Piece | InputError:
        number, numbers = self.pieces[place]
        try:
            return (
                self._batch(number, numbers)
                if self.clips.makes_batches
                else self._items(number, numbers)
            )
        except InputError as error:
            return error

    def _batch(self, number: int, numbers: range) -> Piece:
        make = self.clips.dataset.batch
        try:
            return Piece(number, list(numbers), make(np.array(numbers), self.device))
        except InputError:
            if not self.skip:
                raise
        good, bad = [], []
        for one in numbers:  # which of them it is
            try:
                make(np.array([one]), self.device)
                good.append(one)
            except InputError as error:
                bad.append((one, self.clips.name(one), str(error)))
        batch = make(np.array(good), self.device) if good else None
        return Piece(number, good, batch, bad)

    def _items(self, number: int, numbers: range) -> Piece:
        piece, items = Piece(number, [], None), []
        for one in numbers:
            try:
                with random_numbers(stream_key(self.clips.seed, "clip", 0, one)):
                    item = self.clips.dataset[one]
            except LeftOutError as error:
                piece.left_out.append((one, error.clip, _line(error)))
                continue
            except (InputError, OSError) as error:
                name = self.clips.name(one)
                if not self.skip:
                    raise _told(name, error) from error
                piece.left_out.append((one, name, _line(error)))
                continue
            piece.clips.append(one)
            items.append({"index": one, **item} if isinstance(item, Mapping) else item)
        if items:
            piece.batch = self.clips.collate(items)
        return piece


def _told(name: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(f"clip {name}", "one that can be read", _line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
