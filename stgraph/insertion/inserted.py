"""CNNs with blocks in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stgraph.causality import says, waiting
from stgraph.checks import InputError, accepts, filled_shape, integer
from stgraph.insertion.copies import Around, Run, way_to
from stgraph.insertion.frames import folded, per_frame, unfold
from stgraph.insertion.places import BEFORE, Place, find, part_of, sizes, tensors
from stgraph.insertion.traced import followed
from stgraph.padding import check_frame_mask, take_frames

__all__ = ["Inserted", "InsertedOutput", "insert", "remove"]

_BLOCKS = "graph_blocks"

Maker = Callable[[Place], nn.Module]
Names = str | tuple[str, ...]
Blocks = Mapping[Any, nn.Module | Maker]
"""Blocks, or functions that make them, by name or names."""


class InsertedOutput(NamedTuple):
    """What a CNN with blocks returns."""

    output: Any
    """What the CNN returns; a 2D CNN's tensors of one entry a frame become ``[B, T, …]``."""
    blocks: dict[str, Any]
    """What each block returned, by the place's name (``"NAME:before"`` for blocks before it)."""
    state: dict[str, Any]
    """State of every block by the same names; pass it back in to go on with the clips."""


class _Call:
    """What one forward knows: its frames, the states that came in, what the blocks returned."""

    def __init__(
        self,
        video: Tensor,
        state: Mapping[str, Any],
        mask: Tensor | None,
        hints: Mapping[str, Any],
    ) -> None:
        self.video, self.state, self.mask, self.hints = video, state, mask, hints
        self.clips = video.size(0)
        self.outputs: dict[str, Any] = {}
        self.open = True


class Inserted(nn.Module):
    """A CNN with blocks at named layers; made by :func:`insert`, undone by :func:`remove`.

    Its submodules, parameters and state dict are the CNN's own, by the CNN's own names, and beside
    them ``graph_blocks``, where the dots of a place's name are slashes:
    ``graph_blocks.layer3/4/conv2.norm.weight``.

    Shapes:
        video ``[B, T, c, H, W]`` → :class:`InsertedOutput`. A 2D CNN sees ``[B·T, c, H, W]``, a 3D
        CNN ``[B, c, T, H, W]``.
    """

    graph_blocks: nn.ModuleDict

    def __init__(self, net: nn.Module, blocks: Mapping[str, nn.Module], input_size: Sequence[int]):
        super().__init__()
        if _BLOCKS in net._modules:
            raise InputError("net", f"a module without a child {_BLOCKS!r}", type(net).__name__)
        self.input_size = tuple(input_size)
        # The CNN is held aside, its parts are adopted by their names: so keys have no prefix.
        self._root = (net,)
        for kind in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
            self.__dict__[kind] = net.__dict__[kind]
        self.__dict__["_modules"] = dict(net._modules)
        self.add_module(_BLOCKS, nn.ModuleDict({_slashes(k): b for k, b in blocks.items()}))
        self.training = net.training

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the places that have a block."""
        return tuple(key.lstrip("/").replace("/", ".") for key in self.graph_blocks)

    @property
    def is_3d(self) -> bool:
        """Whether the CNN sees clips and not frames."""
        return len(self.input_size) == 4

    @property
    def causal(self) -> bool:
        """Whether a frame's output depends on this frame and earlier ones only."""
        return not self.is_3d and not _is_late(self)

    def _late(self) -> list[str]:
        """Blocks, and parts of the CNN that say so, which need the whole clip at once."""
        blocks = [name for name in self.places if not self._block(name).causal]
        said = says(self._root[0])
        if said is None:
            return blocks + [name for name in waiting(self) if not name.startswith(f"{_BLOCKS}.")]
        return blocks if said else [*blocks, type(self._root[0]).__name__]

    def _block(self, name: str) -> Any:
        return self.graph_blocks[_slashes(name)]

    def forward(
        self,
        video: Tensor,
        state: Mapping[str, Any] | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> InsertedOutput:
        """Run the CNN and its blocks.

        Args:
            video: clips ``[B, T, c, H, W]``; an image batch is T = 1.
            state: what an earlier piece of the same clips returned.
            frame_mask: which frames exist ``[B, T]`` (bool), for clips of different lengths. A 2D
                CNN runs on these alone, so its batch norms never see padding; in the output the
                others are 0. Every block has to take it.
            hints: further arguments, handed to every block that takes them, or else to the CNN, if
                it takes them. A 2D CNN gets its tensors ``[B, T, …]`` as ``[F, …]``, an entry for
                every frame that exists. Blocks that look at the frames themselves, which say so by
                ``of_frames = True``, get the video as ``frames``, if no other is handed over. In a
                3D CNN that strides over time one has to be: of as many frames as its maps have.

        Raises:
            InputError: on a video of another shape, a state that does not fit or that a part which
                needs the whole clip cannot use, a hint that neither a block nor the CNN takes, one
                that both name, a mask that a block does not take or that a 3D CNN, which mixes
                frames, cannot keep, or when the CNN does not run a place exactly once.
        """
        clips, frames = filled_shape("video", video, "B T", self.input_size[0], "H W")[:2]
        mask = check_frame_mask(frame_mask, clips, frames)
        self._check(state, mask)
        hints, options = self._split(hints)
        call = _Call(video, {} if state is None else state, mask, hints)
        run = partial(self._run, call, torch.compiler.is_compiling())
        if self.is_3d:
            output = run(video.transpose(1, 2), options)
        else:
            fold = partial(folded, clips=clips, frames=frames, mask=mask)
            options = {name: fold(value) for name, value in options.items()}
            seen = take_frames(video, mask)
            made = run(seen, options)
            output = per_frame(made, seen.size(0), partial(unfold, clips=clips, mask=mask))
        if silent := [name for name in self.places if name not in call.outputs]:
            raise InputError("net", f"a CNN that runs {silent}", "one that left it out this time")
        outputs = {name: call.outputs[name] for name in self.places}
        return InsertedOutput(output, outputs, {k: out.state for k, out in outputs.items()})

    def _check(self, state: Mapping[str, Any] | None, mask: Tensor | None) -> None:
        if mask is not None:
            if self.is_3d:
                raise InputError("frame_mask", "None: a 3D CNN mixes frames", "a mask")
            blocks = {name: self._block(name) for name in self.places}
            if mixing := [n for n, b in blocks.items() if not accepts(b.forward, "frame_mask")]:
                raise InputError("frame_mask", f"None: {mixing} take none", "a mask")
        if state is not None:
            if not self.causal:
                late = "the 3D CNN needs" if self.is_3d else f"{self._late()} need"
                raise InputError("state", f"None: {late} the whole clip at once", "a state")
            if not isinstance(state, Mapping) or set(state) != set(self.places):
                came = sorted(state) if isinstance(state, Mapping) else type(state).__name__
                raise InputError("state", f"the states of {list(self.places)}", came)

    def _split(self, hints: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Those of the blocks, and those of the CNN: of whoever names them, or takes any."""
        if not hints:
            return {}, {}
        net, blocks = self._root[0], list(self.graph_blocks.values())
        images, *others = signature(net.forward).parameters.values()
        named = {each.name for each in others if each.kind is not each.VAR_KEYWORD}
        for name in sorted(named & set(hints)):
            if any(_names(block, name) for block in blocks):
                came = f"{name!r}, which {type(net).__name__} and a block have"
                raise InputError("hints", "a name that either the CNN or a block has", came)
        read = {name for block in blocks for name in _taken(block, hints)} - named
        left = set(hints) - read
        if unread := sorted(k for k in left if k == images.name or not accepts(net.forward, k)):
            raise InputError("hints", "what a block or the CNN takes", unread)
        return {k: hints[k] for k in hints if k in read}, {k: hints[k] for k in hints if k in left}

    def _run(self, call: _Call, compiled: bool, images: Tensor, options: Mapping[str, Any]) -> Any:
        """Run the CNN with the blocks and this call around its parts.

        ``compiled`` says whether a compiler tried: then this may run because it had to stop.
        """
        root, parts = self._root[0], self._parts()
        runs = {key: self._runner(key, call) for key in self.places}
        around = [
            Around(part_of(parts, name), runs.get(name + BEFORE), runs.get(name))
            for name in dict.fromkeys(key.removesuffix(BEFORE) for key in runs)
        ]
        if torch.compiler.is_compiling() and self._is_up_to_date():
            with followed(around):
                output = root(images, **options)
            call.open = False
            return output
        way = way_to(root, parts, around, compiled)
        way.net.training = self.training
        output = way.net(images, **options)
        call.open = False
        way.settle()
        return output

    def _parts(self) -> dict[str, nn.Module | None]:
        """The parts of the CNN that it has by now: some may have been replaced."""
        held = vars(self)["_modules"]  # and not by attribute: exporters show others in their place
        return {name: part for name, part in held.items() if name != _BLOCKS}

    def _is_up_to_date(self) -> bool:
        """Whether the CNN itself has these parts and this mode, so that it may run as it is."""
        root, parts = self._root[0], self._parts()
        own = vars(root)["_modules"]
        same = own.keys() == parts.keys() and root.training == self.training
        return same and all(own[name] is part for name, part in parts.items())

    def _runner(self, name: str, call: _Call) -> Run:
        """What runs the block of a place on maps, for one call."""
        block = self._block(name)
        hints = _taken(block, call.hints)
        if call.mask is not None:
            hints["frame_mask"] = call.mask
        if getattr(block, "of_frames", False):
            hints = {"frames": call.video, **hints}

        def run(maps: Tensor) -> Tensor:
            if call.open and name in call.outputs:
                raise InputError("net", f"a CNN that runs {name!r} once", "one that runs it again")
            features = maps.transpose(1, 2) if self.is_3d else unfold(maps, call.clips, call.mask)
            out = block(features, call.state.get(name), **hints)
            if call.open:  # else checkpointing runs this stretch again, in the backward pass
                call.outputs[name] = out
            made = getattr(out, "features", None)
            if not isinstance(made, Tensor) or made.shape != features.shape:
                came = list(made.shape) if isinstance(made, Tensor) else type(out).__name__
                expected = f"a result with `features` {list(features.shape)} and `state`"
                raise InputError(f"block of {name!r}", expected, came)
            return made.transpose(1, 2) if self.is_3d else take_frames(made, call.mask)

        return run

    def bare(self) -> nn.Module:
        """The CNN itself, with the parts that it has by now."""
        root = self._root[0]
        root.__dict__["_modules"] = self._parts()
        root.training = self.training
        return root

    def train(self, mode: bool = True) -> Inserted:
        """Set the mode as the CNN does it, which may keep some norms as they are."""
        self.training = mode
        self.graph_blocks.train(mode)
        self.bare().train(mode)
        return self

    # What the CNN itself does about its state is done here too.
    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._root[0]._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self._root[0]._load_from_state_dict(state_dict, prefix, *args)
        unexpected: list[str] = args[3]
        unexpected[:] = [key for key in unexpected if not key.startswith(f"{prefix}{_BLOCKS}.")]

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"{type(self._root[0]).__name__}, input_size={self.input_size}"


@torch.compiler.assume_constant_result  # it looks at all parts, some of which compilers refuse
def _is_late(net: Inserted) -> bool:
    return bool(net._late())


def insert(
    net: nn.Module,
    after: Blocks,
    before: Blocks | None = None,
    input_size: Sequence[int] | None = None,
) -> Inserted:
    """Put blocks into a CNN after (or before) any of its named modules.

    Nothing of the CNN is changed or copied: the result shares its weights. A graph block is an
    identity at the start, so the CNN with blocks answers as the plain one until it is trained.

    Args:
        net: any CNN, 2D (images in) or 3D (clips in); or a CNN that has blocks already, which gets
            more.
        after: block, or function from a :class:`Place` to a block, by the name of the module that
            it follows (as ``net.named_modules()`` has it). ``*`` stands for anything between two
            dots, and a tuple is a list of names; a block with parameters fits one place only, a
            function makes one for each.
        before: the same, for blocks that change what goes into a module.
        input_size: what the CNN takes, without the batch: ``(c, H, W)`` says that it is 2D, and
            frames are folded into its batch; ``(c, T, H, W)`` says that it is 3D. Channels and map
            sizes of all places are found with it, in a run on the meta device; frames of another
            size may come later, if the CNN and the blocks take them.

    Raises:
        InputError: on a name that the CNN has not, a place that it does not run exactly once or
            where no map comes, or a block that does not fit.

    Examples:
        >>> from stgraph.backbones import TemporalShift
        >>> cnn = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        >>> net = insert(cnn, {"1": TemporalShift(online=True)}, input_size=(3, 8, 8))
        >>> net(torch.zeros(2, 4, 3, 8, 8)).output.shape
        torch.Size([2, 4, 5])
        >>> sorted(net.state_dict()) == sorted(cnn.state_dict())
        True
        >>> remove(net) is cnn
        True
    """
    present: dict[str, nn.Module] = {}
    if isinstance(net, Inserted):
        present = {name: net._block(name) for name in net.places}
        input_size = net.input_size if input_size is None else input_size
        net = remove(net)
    if not isinstance(net, nn.Module):
        raise InputError("net", "an nn.Module", type(net).__name__)
    size = [integer("input_size", side) for side in (() if input_size is None else input_size)]
    if len(size) not in (3, 4):
        raise InputError("input_size", "(c, H, W) or (c, T, H, W)", input_size)
    wanted: dict[str, tuple[bool, Any]] = {}
    for argument, places, suffix in (("after", after, ""), ("before", before or {}, BEFORE)):
        for names, value in places.items():
            found = find(net, names, argument)
            owns = next(tensors(value), None) if isinstance(value, nn.Module) else None
            if owns is not None and len(found) > 1:
                raise InputError(
                    f"{argument}[{names!r}]",
                    f"a function that makes a block for each of {found}",
                    f"one {type(value).__name__}, whose parameters would be shared",
                )
            for name in found:
                if name + suffix in wanted or name + suffix in present:
                    raise InputError(argument, "one block a place", f"two for {name!r}")
                wanted[name + suffix] = (isinstance(value, nn.Module), value)
    blocks: dict[str, nn.Module] = {}
    tensor = next(tensors(net), torch.empty(0))
    dtype = tensor.dtype if tensor.is_floating_point() else None
    for key, place in sizes(net, [*present, *wanted], size).items():  # in the order of the run
        if key in present:
            blocks[key] = present[key]
            continue
        ready, value = wanted[key]
        block: nn.Module = value if ready else value(place)
        _check_block(block, place)
        twin = next((name for name, other in blocks.items() if other is block), None)
        if twin is not None and next(tensors(block), None) is not None:
            raise InputError(f"block of {key!r}", "one of its own", f"that of {twin!r}")
        blocks[key] = block.to(tensor.device, dtype).train(net.training)
    return Inserted(net, blocks, size)


def remove(net: Inserted) -> nn.Module:
    """Take the blocks out again: the CNN that :func:`insert` was given, with its present weights.

    Raises:
        InputError: when ``net`` is not what :func:`insert` returned.
    """
    if not isinstance(net, Inserted):
        raise InputError("net", "what `insert` returned", type(net).__name__)
    return net.bare()


def _check_block(block: Any, place: Place) -> None:
    name = f"block of {place.name!r}"
    if not isinstance(block, nn.Module):
        raise InputError(name, "an nn.Module", type(block).__name__)
    if not isinstance(getattr(block, "causal", None), bool):
        raise InputError(name, "a block that says whether it is `causal`", type(block).__name__)
    of_frames = getattr(block, "of_frames", False)
    if not isinstance(of_frames, bool) or (of_frames and not accepts(block.forward, "frames")):
        expected = "`of_frames` to be a bool, and a forward that takes `frames` where it is true"
        raise InputError(name, expected, f"{type(block).__name__}, where it is {of_frames}")
    channels = getattr(block, "channels", place.channels)
    if channels != place.channels:
        raise InputError(name, f"{place.channels} channels", channels)


def _slashes(name: str) -> str:
    """A place's name as a module may have it."""
    key = name.replace(".", "/")
    return f"/{key}" if hasattr(nn.ModuleDict, key) else key


def _names(block: nn.Module, hint: str) -> bool:
    """Whether a block takes a hint by name, and not only whatever it is told."""
    takes = getattr(block, "takes", None)
    if takes is not None:  # a name that nothing can have tells those that take any
        return bool(takes(hint)) and not takes(f"{hint} of a CNN")
    return hint in signature(block.forward).parameters


def _taken(block: nn.Module, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Hints that a block takes: by its own word, where it has one, or by its arguments."""
    takes = getattr(block, "takes", partial(accepts, block.forward))
    return {name: value for name, value in hints.items() if takes(name)}
