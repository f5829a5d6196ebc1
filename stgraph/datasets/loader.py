"""Batches of clips, rendered where they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from stgraph.checks import InputError, integer
from stgraph.datasets.clips import ClipBatch
from stgraph.datasets.draws import Ints, order, stream_key, words

__all__ = ["BatchedClips", "ClipLoader"]


class BatchedClips(Protocol):
    """What a dataset must offer: :class:`stgraph.datasets.digits.clips.DigitClips` does."""

    def __len__(self) -> int: ...

    def batch(self, indices: Ints, device: torch.device | str) -> ClipBatch:
        """Return the clips of these numbers, on the device."""


class ClipLoader:
    """Iterates over a dataset in whole batches, each rendered at once on ``device``.

    The order of an epoch is a function of (seed, epoch). Each new iteration is a new epoch; a
    state taken between two batches, by :meth:`state_dict`, lets another loader go on with the
    next one. With several ranks each sees every ``world_size``-th clip of the same order, and all
    make as many batches: the last clips are left out with ``drop_last``, and the first ones seen
    again without; or, where what is measured has to be exact, each clip is seen ``once``, so that
    the last batch of some ranks has a clip less. One without clips is an empty dict.

    Args:
        dataset: where :meth:`BatchedClips.batch` comes from.
        batch_size: clips a batch, on each rank.
        device: where batches are rendered.
        shuffle: a new random order each epoch, or the clips in order.
        seed: of the orders.
        drop_last: leave out what is too little for a whole batch.
        rank: which part of the clips is this process's.
        world_size: how many parts there are.
        once: see no clip again where ranks have not as many clips.

    Raises:
        InputError: for sizes that make no batch.

    Examples:
        >>> from stgraph.datasets import ClipLoader, SyncMNIST, sklearn_digits
        >>> dataset = SyncMNIST(sklearn_digits(), canvas=32, size=32, length=10)
        >>> tuple(len(batch["label"]) for batch in ClipLoader(dataset, batch_size=4))
        (4, 4, 2)
    """

    def __init__(
        self,
        dataset: BatchedClips,
        batch_size: int,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        once: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = integer("batch_size", batch_size)
        self.device = torch.device(device)
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.once = once
        self.world_size = integer("world_size", world_size)
        self.rank = integer("rank", rank, 0)
        if rank >= world_size:
            raise InputError("rank", f"below world_size, {world_size}", rank)
        if not len(dataset):
            raise InputError("dataset", "at least one clip", "none")
        if not len(self):
            raise InputError("batch_size", f"at most the {self._share} clips of a rank", batch_size)
        self._epoch = 0
        self._position = 0  # batches of the epoch that have been handed out
        self._resuming = False

    def __len__(self) -> int:
        whole, rest = divmod(self._share, self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[ClipBatch]:
        if self._position and not self._resuming:  # the epoch before was left half-way
            self._epoch, self._position = self._epoch + 1, 0
        self._resuming = False
        epoch, mine = self._epoch, self._order(self._epoch)
        begins = [number * self.batch_size for number in range(self._position, len(self))]
        numbers = [mine[begin : begin + self.batch_size] for begin in begins]
        for done, batch in enumerate(self._load(numbers, epoch), self._position + 1):
            self._epoch, self._position = (epoch + 1, 0) if done == len(self) else (epoch, done)
            yield batch

    def _load(self, numbers: Iterable[Ints], epoch: int) -> Iterator[ClipBatch]:
        """Yield the batches of these clips of an epoch, on the device."""
        return (self.dataset.batch(one, self.device) if len(one) else {} for one in numbers)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch, from its beginning.

        A state that was loaded for the same epoch stays.
        """
        if not (self._resuming and epoch == self._epoch):
            self._epoch, self._position, self._resuming = integer("epoch", epoch, 0), 0, False

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands: plain numbers."""
        return {**self._identity, "epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader stood.

        Raises:
            InputError: when that loader's batches are not this one's.
        """
        if not isinstance(state, Mapping):
            raise InputError("state", "that of a loader", type(state).__name__)
        for name, mine in {**self._identity, "epoch": 0, "position": 0}.items():
            if name not in state or (name in self._identity and state[name] != mine):
                raise InputError(f"state[{name!r}]", mine, state.get(name, "nothing"))
        self._epoch = integer("epoch", state["epoch"], 0)
        self._position = integer("position", state["position"], 0)
        if self._position >= len(self):
            raise InputError("state['position']", f"a batch below {len(self)}", self._position)
        self._resuming = True

    @property
    def _identity(self) -> dict[str, Any]:
        """What the batches depend on, besides the dataset's options."""
        names = ("batch_size", "shuffle", "seed", "drop_last", "world_size")
        return {"clips": len(self.dataset), **{name: getattr(self, name) for name in names}}

    @property
    def _share(self) -> int:
        """How many clips an epoch has for each rank."""
        return (len(self.dataset) + (0 if self.drop_last else self.world_size - 1)) // (
            self.world_size
        )

    def _order(self, epoch: int) -> Ints:
        """Return this rank's clip numbers in the epoch's order."""
        clips = np.arange(len(self.dataset))
        if self.shuffle:
            clips = order(words(stream_key(self.seed, "epoch", epoch), clips, 1)[:, 0])
        if not self.once:
            clips = np.resize(clips, self._share * self.world_size)  # begins anew where longer
        return clips[self.rank :: self.world_size]
