"""Whole models as programs of ``torch.export``, which run without this library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from stgraph.causality import waiting
from stgraph.checks import InputError, integer
from stgraph.export.states import counted, filled, tensors
from stgraph.insertion import Inserted

__all__ = ["Deployable", "clip_program", "step_program"]

CLIPS = "clips"
"""What the size that may be any number is called."""
_EXAMPLE = 2  # clips: 1 would be taken for a size that never changes
_MOST = 4096

Scale = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Deployable:
    """A program, and the model that it is to be equal to.

    Args:
        program: from tensors to tensors, for any number of clips.
        model: what it was made of.
        scale: from 8-bit frames to what the model sees; ``None`` where it takes those itself.
        inputs: names of its inputs: ``video``, then ``state_0``, ``state_1``, …
        outputs: names of its outputs: ``logits``, then ``next_0``, ``next_1``, …, of which each is
            the input of the same number in the next call.
        shapes: of the inputs, with ``"clips"`` for the number of clips.
        types: of the inputs, as ``"uint8"`` and ``"float32"``.
    """

    program: ExportedProgram
    model: nn.Module
    scale: Scale | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int | str, ...], ...]
    types: tuple[str, ...]

    @property
    def is_step(self) -> bool:
        """Whether it goes on from a state."""
        return len(self.inputs) > 1

    def video(self, clips: int, seed: int = 0) -> Tensor:
        """Noise that it takes ``[clips, T, c, H, W]``."""
        size = [clips if side == CLIPS else int(side) for side in self.shapes[0]]
        return _drawn(size, self.types[0] == "uint8", seed)

    def start(self, clips: int) -> list[Tensor]:
        """The state before the first frame: zeros."""
        return [
            torch.zeros(
                [clips if side == CLIPS else int(side) for side in shape],
                dtype=getattr(torch, kind),
            )
            for shape, kind in zip(self.shapes[1:], self.types[1:], strict=True)
        ]

    def expected(self, videos: Iterable[Tensor]) -> Iterator[Tensor]:
        """Logits of the model itself, which goes on from video to video if the program does."""
        state = None
        for video in videos:
            seen = _seen(self.scale, video)
            answer = self.model(seen, state) if self.is_step else self.model(seen)
            state = answer.state if self.is_step else None
            yield answer.logits


class _Clip(nn.Module):
    """Video to logits."""

    def __init__(self, model: nn.Module, scale: Scale | None) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, video: Tensor) -> Tensor:
        return self.model(_seen(self.scale, video)).logits  # type: ignore[no-any-return]


class _Step(_Clip):
    """Video and state to logits and state."""

    def __init__(self, model: nn.Module, scale: Scale | None, like: Any) -> None:
        super().__init__(model, scale)
        self.like = like

    def forward(self, video: Tensor, *state: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return self.goes_on(_seen(self.scale, video), *state)

    def goes_on(self, seen: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits and state after frames that come from a state."""
        return self._told(seen, filled(self.like, iter(state)))

    def begins(self, seen: Tensor) -> tuple[Tensor, ...]:
        """Logits and state after the first frames."""
        return self._told(seen, None)

    def _told(self, seen: Tensor, state: Any) -> tuple[Tensor, ...]:
        answer = self.model(seen, state)
        return answer.logits, *tensors(counted(answer.state, seen.size(0)))


class _MarkedStep(_Step):
    """A step of a model whose first frame is another one: a mark in the state says which it is."""

    def chosen(self, begun: Tensor, seen: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
        """The step of the one way or of the other, in a program that goes one of them."""

        def goes_on(seen: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            return self.goes_on(seen, *state)

        def begins(seen: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            return self.begins(seen)

        chosen: Sequence[Tensor] = torch.cond(begun, goes_on, begins, (seen, *state))
        return chosen

    def forward(self, video: Tensor, *marked: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        seen = _seen(self.scale, video)
        begun, *state = marked
        if torch.compiler.is_compiling():
            logits, *after = self.chosen(begun, seen, state)
        else:
            logits, *after = self.goes_on(seen, *state) if bool(begun) else self.begins(seen)
        return logits, torch.ones_like(begun), *after


class _TwofoldStep(_MarkedStep):
    """The same as a program that goes both ways: a CNN notes what its blocks returned.

    That is a side effect, which an exporter refuses in a branch.
    """

    def chosen(self, begun: Tensor, seen: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
        """What both ways come to, of which one is taken."""
        pairs = zip(self.goes_on(seen, *state), self.begins(seen), strict=True)
        return [torch.where(begun, on, first) for on, first in pairs]


def clip_program(
    model: nn.Module, size: Sequence[int], scale: Scale | None = None, clips: int = _MOST
) -> Deployable:
    """Make a program of a model: whole clips in, logits out.

    Args:
        model: takes a video ``[B, T, c, H, W]`` and returns an answer with ``logits [B, K]``; in
            evaluation mode, on the CPU.
        size: T, c, H, W, which the program is for.
        scale: from 8-bit frames to what the model sees, as part of the program; without one it
            takes what the model does, in single precision.
        clips: the largest number of clips B.

    Raises:
        InputError: on a model that trains, or that cannot be followed.

    Examples:
        >>> from stgraph import recipes
        >>> model = recipes.mean_lstm(5, channels=8).eval()
        >>> made = clip_program(model, (3, 1, 64, 64))
        >>> tuple(made.program.module()(torch.zeros(4, 3, 1, 64, 64)).shape)
        (4, 5)
    """
    return _made(_Clip(_in_evaluation(model), scale), size, (), clips)


def step_program(
    model: nn.Module, size: Sequence[int], scale: Scale | None = None, clips: int = _MOST
) -> Deployable:
    """Make a program of a causal model: the next frames and a state in, logits and state out.

    The state before the first frame is zeros. The logits are those of all frames so far. Of a model
    whose first frame is treated differently the program holds both ways; of a CNN with blocks it
    does the work of both in every step.

    Args:
        model: see :func:`clip_program`.
        size: t, c, H, W, of the frames of a call; t is mostly 1.
        scale: see :func:`clip_program`.
        clips: see :func:`clip_program`.

    Raises:
        InputError: on a model that trains, that is not causal, or that cannot be followed.
    """
    _in_evaluation(model)
    if not getattr(model, "causal", False):
        late = ", ".join(waiting(model)) or type(model).__name__
        raise InputError("model", "a causal one, to go on from a state", f"{late}, of a whole clip")
    with torch.no_grad():
        seen = [_seen(scale, _noise(scale, count, size)) for count in (_EXAMPLE, _EXAMPLE + 1)]
        state, more = (counted(model(x).state, x.size(0)) for x in seen)
        step = _Step(model, scale, state)
        first = [torch.zeros_like(each) for each in tensors(state)]
        pairs = zip(step.begins(seen[0]), step.goes_on(seen[0], *first), strict=True)
        same = all(torch.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in pairs)
    shapes = [_shape(*pair) for pair in zip(tensors(state), tensors(more), strict=True)]
    types = [_name(each) for each in tensors(state)]
    if same:
        return _made(step, size, tuple(zip(shapes, types, strict=True)), clips)
    marked = ((), "bool"), *zip(shapes, types, strict=True)
    in_a_cnn = any(isinstance(part, Inserted) for part in model.modules())
    kind = _TwofoldStep if in_a_cnn else _MarkedStep
    return _made(kind(model, scale, state), size, marked, clips)


def _in_evaluation(model: nn.Module) -> nn.Module:
    if model.training:
        raise InputError("model", "one in evaluation mode (`model.eval()`)", "one that trains")
    return model


def _noise(scale: Scale | None, clips: int, size: Sequence[int]) -> Tensor:
    sides = [integer("size", side) for side in size]
    if len(sides) != 4:
        raise InputError("size", "(T, c, H, W)", tuple(size))
    return _drawn((clips, *sides), scale is not None, seed=clips)


def _drawn(shape: Sequence[int], eight_bits: bool, seed: int) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    if eight_bits:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=noise)
    return torch.randn(shape, generator=noise)


def _seen(scale: Scale | None, video: Tensor) -> Tensor:
    return video if scale is None else scale(video)


def _shape(one: Tensor, more: Tensor) -> tuple[int | str, ...]:
    """The sizes of a tensor, of which those that follow the number of clips are named."""
    pairs = zip(one.shape, more.shape, strict=True)
    return tuple(side if side == other else CLIPS for side, other in pairs)


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _made(
    module: _Clip,
    size: Sequence[int],
    state: Sequence[tuple[tuple[int | str, ...], str]],
    clips: int,
) -> Deployable:
    """Write down what a module does with noise."""
    video = _noise(module.scale, _EXAMPLE, size)
    count = range(len(state))
    shapes = ((CLIPS, *video.shape[1:]), *(shape for shape, _ in state))
    types = (_name(video), *(kind for _, kind in state))
    made = Deployable(
        program=None,  # type: ignore[arg-type]
        model=module.model,
        scale=module.scale,
        inputs=("video", *(f"state_{number}" for number in count)),
        outputs=("logits", *(f"next_{number}" for number in count)),
        shapes=shapes,
        types=types,
    )
    changing = Dim(CLIPS, min=1, max=integer("clips", clips, minimum=_EXAMPLE))
    dynamic = [{d: changing for d, side in enumerate(s) if side == CLIPS} for s in shapes]
    example = (video, *made.start(_EXAMPLE))
    with torch.no_grad():
        module(*example)  # what is wrong with the model itself is told as ever
        program = _followed(
            module, example, (dynamic[0], tuple(dynamic[1:])) if state else (dynamic[0],)
        )
    return replace(made, program=program)


def _followed(module: nn.Module, example: tuple[Tensor, ...], dynamic: Any) -> ExportedProgram:
    try:
        return torch.export.export(module, example, dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # of many kinds, most of them of no public class
        told = " ".join(islice((line for line in str(error).splitlines() if line.strip()), 2))
        expected = "one that torch.export can follow, whose graphs have a known number of edges"
        raise InputError("model", expected, told or type(error).__name__) from error
