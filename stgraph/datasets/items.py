"""Batches of a plain dataset, whose clips come one by one, from worker processes if need be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from stgraph.checks import InputError, integer
from stgraph.datasets.clips import ClipBatch, Later, LeftOut, LeftOutError
from stgraph.datasets.draws import Ints, stream_key
from stgraph.datasets.loader import ClipLoader
from stgraph.datasets.workers import as_it_is, leave_signals, random_numbers

__all__ = ["ItemLoader", "PlainClips", "collate", "made_on", "one_clip", "to_device"]


class PlainClips(Protocol):
    """A map-style dataset of dicts, one a clip: ``video`` [T, C, H, W] and what else there is."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


def collate(clips: Sequence[Mapping[str, Any]]) -> ClipBatch:
    """Join clips into a batch, and say which clip does not fit the others.

    It is for any ``DataLoader`` (``collate_fn=collate``); :class:`ItemLoader` uses it by itself.

    Args:
        clips: each with a ``video`` [T, C, H, W], or [V, T, C, H, W] of several views, and with
            the same fields of the same shapes.

    Returns:
        The fields with a dimension more: ``video`` [B, T, C, H, W], ``label`` [B], …; what is no
        number, such as a name, is a list.

    Raises:
        InputError: when a clip is no dict, has no video, or differs from the first one in its
            fields or their shapes.

    Examples:
        >>> clips = [{"video": torch.zeros(t, 1, 8, 8), "label": t} for t in (3, 3, 5)]
        >>> collate(clips[:2])["label"]
        tensor([3, 3])
        >>> collate(clips)
        Traceback (most recent call last):
        stgraph.checks.InputError: video: expected [3, 1, 8, 8] as of clip 0 (cut, pad or resize
        clips in the dataset), got [5, 1, 8, 8] of clip 2
    """
    for place, clip in enumerate(clips):
        if not isinstance(clip, Mapping):
            raise InputError(f"clip {place}", "a dict with a video", type(clip).__name__)
        name = _name(clip, place)
        if "video" not in clip:
            raise InputError(f"clip {name}", "a dict with a video", f"one of {sorted(clip)}")
        sizes = _sizes(clip["video"])
        if len(sizes) not in (4, 5):
            got = sizes or type(clip["video"]).__name__
            expected = "a tensor [T, C, H, W], or [V, T, C, H, W] of several views"
            raise InputError("video", expected, f"{got} of clip {name}")
        if clip.keys() != clips[0].keys():
            first = f"the fields of clip {_name(clips[0], 0)}, {sorted(clips[0])}"
            raise InputError(f"clip {name}", first, sorted(clip))
    names = [_name(clip, place) for place, clip in enumerate(clips)]
    return {field: _column(field, [clip[field] for clip in clips], names) for field in clips[0]}


def _name(clip: Mapping[str, Any], place: int) -> Any:
    return clip.get("index", place)


def _sizes(value: Any) -> list[int]:
    return list(value.shape) if isinstance(value, (Tensor, np.ndarray, Later)) else []


def _column(field: str, values: list[Any], names: list[Any]) -> Any:
    sizes = [_sizes(value) for value in values]
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            advice = "(cut, pad or resize clips in the dataset)"
            first = f"{sizes[0]} as of clip {names[0]} {advice}"
            raise InputError(field, first, f"{size} of clip {name}")
    if all(isinstance(value, Later) for value in values):
        return values
    try:
        column: Tensor = default_collate(values)
    except (RuntimeError, TypeError) as error:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise InputError(field, "numbers or tensors of one shape", f"{kinds} ({error})") from error
    return column


class ItemLoader(ClipLoader):
    """Iterates over a plain dataset: what :class:`ClipLoader` does, clip by clip.

    The order, the ranks and the states are those of :class:`ClipLoader`. Random numbers that the
    dataset draws from torch, NumPy or Python for a clip depend on (seed, epoch, clip) alone: not on
    the number of workers, nor on where a run was resumed. Batches have the clips' numbers as
    ``index``, unless the dataset's clips bring an ``index`` of their own.

    A clip for which the dataset raises :class:`~stgraph.datasets.clips.LeftOutError` is missing
    from its batch, which is smaller by it; no other clip takes its place. :attr:`left_out` lists
    those of the epoch, up to the batch that was handed out last, and is part of the loader's state.
    A batch of which no clip is left is an empty dict; with ``repeats`` there is no such batch, but
    where there are other ranks, which make as many.

    Args:
        dataset: of clips that are dicts, see :func:`collate`.
        batch_size: clips a batch, on each rank.
        num_workers: processes that load clips ahead; none loads them where they are asked for.
        device: where batches come to lie.
        repeats: what is drawn for a clip is the same in each epoch, as validations want it.
        **order: as of :class:`ClipLoader`.

    Raises:
        InputError: for sizes that make no batch, and for clips that make none.
    """

    dataset: Any

    def __init__(
        self,
        dataset: PlainClips,
        batch_size: int,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        repeats: bool = False,
        **order: Any,
    ) -> None:
        super().__init__(dataset, batch_size, device, **order)  # type: ignore[arg-type]
        self._numbers: list[list[tuple[int, int]]] = []  # of the batches to come; see _load
        self.left_out: list[LeftOut] = []
        self.repeats = repeats
        workers = integer("num_workers", num_workers, 0)
        self._loader: DataLoader[Any] = DataLoader(
            _Batches(dataset, self.seed),
            batch_sampler=self._numbers,
            collate_fn=as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=leave_signals,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # a loader that begins leaves the run's numbers alone
        )

    def _load(self, numbers: Iterable[Ints], epoch: int) -> Iterator[ClipBatch]:
        epoch = 0 if self.repeats else epoch
        self._numbers[:] = [[(epoch, int(clip)) for clip in batch] for batch in numbers]
        if not self._position:
            self.left_out = []
        for batch, left_out in self._loader:
            if isinstance(batch, InputError):
                self._end_workers()
                raise batch
            self.left_out += left_out
            if batch or not self.repeats or self.world_size > 1:
                yield to_device(batch, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands, and what was left out of the epoch until there."""
        return {**super().state_dict(), "left_out": [list(one) for one in self.left_out]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader stood.

        Raises:
            InputError: when that loader's batches are not this one's.
        """
        super().load_state_dict(state)
        kept = state.get("left_out", [])
        try:
            self.left_out = [
                LeftOut(int(number), str(clip), str(why)) for number, clip, why in kept
            ]
        except (TypeError, ValueError) as error:
            raise InputError("state['left_out']", "clips that were left out", repr(kept)) from error

    def _end_workers(self) -> None:
        """End the workers in order, as Lightning does.

        Left to the garbage collector, which an error's traceback makes them, their pipes may be
        closed under the threads that write to them.
        """
        iterator: Any = self._loader._iterator
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None


def one_clip(dataset: Any, index: int, device: torch.device | str = "cpu") -> ClipBatch:
    """Return a clip, as a batch of one, of a dataset that makes batches or of a plain one.

    Raises:
        InputError: when the dataset has no such clip, or the clip makes no batch.
    """
    if not 0 <= index < len(dataset):
        raise InputError("indices", f"clip numbers from 0 to {len(dataset) - 1}", index)
    if callable(getattr(dataset, "batch", None)):
        batch: ClipBatch = dataset.batch(np.array([index]), device)
        return batch
    made, left_out = _Batches(dataset, seed=0).__getitems__([(0, index)])
    if isinstance(made, InputError):
        raise made
    if left_out:
        raise InputError("indices", f"a clip that can be read, not {index}", left_out[0].why)
    return to_device(made, device)


def made_on(batch: Mapping[str, Any], device: torch.device | str) -> ClipBatch:
    """Make on a device what is to be made there, and leave the rest where it is."""
    return {
        field: torch.stack([value.made(device) for value in column])
        if _is_later(column)
        else column
        for field, column in batch.items()
    }


def to_device(batch: Mapping[str, Any], device: torch.device | str) -> ClipBatch:
    """Bring what is a tensor to a device, without waiting for it; and make there what is to be."""
    return {
        field: column.to(device, non_blocking=True) if isinstance(column, Tensor) else column
        for field, column in made_on(batch, device).items()
    }


def _is_later(column: Any) -> bool:
    return isinstance(column, list) and bool(column) and isinstance(column[0], Later)


_Loaded: TypeAlias = tuple[ClipBatch | InputError, list[LeftOut]]


class _Batches(Dataset[Any]):
    """A dataset's clips in whole batches, or what is wrong with them.

    An error is handed over as a value: of one that is raised in a worker, only its text arrives.
    """

    def __init__(self, dataset: PlainClips, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitems__(self, draws: list[tuple[int, int]]) -> _Loaded:
        clips, left_out = [], []
        try:
            for epoch, number in draws:
                try:
                    clips.append(self._clip(epoch, number))
                except LeftOutError as error:
                    left_out.append(LeftOut(number, error.clip, str(error)))
            return (collate(clips) if clips else {}), left_out
        except InputError as error:
            return error, left_out

    def _clip(self, epoch: int, number: int) -> Mapping[str, Any]:
        with random_numbers(stream_key(self.seed, "clip", epoch, number)):
            clip = self.dataset[number]
        if not isinstance(clip, Mapping):
            raise InputError(f"clip {number}", "a dict with a video", type(clip).__name__)
        return {"index": number, **clip}
