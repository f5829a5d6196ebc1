"""CNNs that write on themselves, hide their parts, or keep methods of others."""

from __future__ import annotations

from collections import deque
from functools import partial
from types import MethodType

import pytest
import torch
from somebodys_cnn import CNN, PLACES, VIDEO, awake
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph import insert, remove
from stgraph.checks import InputError


class Listed(CNN):
    """Runs its stages through a list, and a forward that was bound to one of them."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        stages = [self.stages[0], self.stages[1]]
        self.order = {"stages": tuple(stages)}
        self.secret = lambda: stages  # a way on which no call can follow
        self.reach = reach
        forward = type(self.stages[1]).forward
        self.stages[1].forward = MethodType(lambda stage, x: 2 * forward(stage, x), self.stages[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.stem(x)) + self.offset
        for stage in self.order["stages"] if self.reach else self.secret():
            x = self.shared(stage(x))
        return self.fc(x.mean((2, 3)))


class Recording(CNN):
    """Writes on itself as it runs: a counter, a list, what a hook bound to it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.seen, self.saved = 0, [], None
        self._order = deque(self.stages)
        self.late = partial(self.finish, scale=2.0)
        self.bend = partial(F.leaky_relu, negative_slope=0.1)  # with no module in it
        self.stem.register_forward_hook(self.keep)

    def keep(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self.saved = output

    def finish(self, x: Tensor, scale: float) -> Tensor:
        return self.fc(x.mean((2, 3))) * scale + self.stages[1][0](self.saved[:, :8]).mean()

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        self.stem(x)
        x = self.shared(self.saved)
        self.seen.append(tuple(x.shape))
        for stage in self._order:
            x = self.bend(self.shared(stage(x)))
        return self.late(x)


def test_what_a_cnn_writes_on_itself_is_written():
    cnn = Recording().eval()
    net = insert(cnn, PLACES, input_size=(3, 16, 16)).eval()
    assert (cnn.steps, cnn.seen, cnn.saved) == (0, [], None)
    video = torch.randn(VIDEO)
    for number in (1, 2):
        out = net(number * video).output  # not what was saved in the call before
        assert (cnn.steps, len(cnn.seen)) == (number, number)
        saved = cnn.saved
        plain = cnn(number * video.flatten(0, 1)).unflatten(0, (2, 3))
        assert torch.equal(out, plain)
        assert torch.equal(saved, cnn.saved)
        cnn.steps, cnn.seen[:] = number, cnn.seen[:number]


class Forgetful(CNN):
    """Takes an attribute off itself in its first run."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh = True

    def forward(self, x: Tensor) -> Tensor:
        scale = 1.0
        if hasattr(self, "fresh"):
            scale = 3.0
            del self.fresh
        return super().forward(x) * scale


def test_what_a_cnn_takes_off_itself_is_gone():
    cnn = Forgetful().eval()
    net = insert(cnn, PLACES, input_size=(3, 16, 16)).eval()
    assert cnn.fresh
    video = torch.randn(VIDEO)
    first = net(video).output
    assert not hasattr(cnn, "fresh")
    torch.testing.assert_close(first, 3 * net(video).output)


class Frozen(CNN):
    """Keeps its norms as they are, reads old names, and has a state of its own."""

    def train(self, mode: bool = True) -> CNN:
        super().train(mode)
        self.stages[0][0].norm.eval()
        return self

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.version = state["version"]

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for key in list(state_dict):
            if key.startswith(f"{prefix}old_stem."):
                state_dict[key.replace("old_stem", "stem")] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_modes_and_state_are_the_cnns_own_affair():
    cnn = Frozen()
    net = insert(cnn, PLACES, input_size=(3, 16, 16)).train()
    assert not cnn.stages[0][0].norm.training
    assert cnn.stages[1][1].norm.training
    assert net.graph_blocks.training
    state = {key.replace("stem.", "old_stem."): value for key, value in net.state_dict().items()}
    assert state["_extra_state"] == {"version": 3}
    net.load_state_dict(state)
    assert cnn.version == 3
    with pytest.raises(RuntimeError, match="Unexpected key"):
        net.load_state_dict(state | {"graph_blocks.more": torch.ones(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        net.load_state_dict({k: v for k, v in state.items() if "graph_blocks" not in k})


class Counter:
    """No module, whose method a CNN runs."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self, x: Tensor) -> Tensor:
        self.calls += 1
        return 2 * x


class Counting(CNN):
    """Runs methods that it keeps: of a plain object, and of one of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = Counter()
        self.count, self.head = self.counter.count, self.fc.forward

    def forward(self, x: Tensor) -> Tensor:
        x = self.count(self.shared(self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


def test_methods_that_a_cnn_keeps_are_those_of_the_same_objects():
    cnn = Counting().eval()
    video = torch.randn(VIDEO)
    net = insert(cnn, PLACES, input_size=(3, 16, 16)).eval()
    cnn.counter.calls = 0
    torch.testing.assert_close(net(video).output.flatten(0, 1), cnn(video.flatten(0, 1)))
    assert cnn.counter.calls == 2  # one counter, for both


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize("whole", [False, True])
def test_what_hooks_write_on_the_cnn_is_written(register, whole):
    """Methods of the CNN, or parts of them, at a part of it where no block stands."""

    class Noting(CNN):
        def __init__(self) -> None:
            super().__init__()
            self.seen = []
            getattr(self.shared, register)(self.note if whole else partial(self.note, more=1))

        def forward(self, x):
            self.seen = [*self.seen, "begins"]
            return super().forward(x)

        def note(self, *_, more=0):
            self.seen = [*self.seen, more]

    cnn = Noting()
    net = insert(cnn, PLACES, input_size=(3, 16, 16))
    for calls in (1, 2):
        cnn.seen = cnn.seen[: 4 * (calls - 1)]
        net(torch.randn(VIDEO))
        assert cnn.seen == ["begins", *[0 if whole else 1] * 3] * calls


class Doubled(nn.Sequential):
    """What the bound forward of :class:`Listed` does, written as a class."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_parts_in_lists_and_bound_forwards_are_followed():
    cnn = CNN().eval()
    cnn.stages[1].__class__ = Doubled
    net = awake(insert(cnn, PLACES, input_size=(3, 16, 16)).eval())
    listed = Listed(reach=1).eval()
    listed.load_state_dict(remove(net).state_dict())
    other = insert(listed, PLACES, input_size=(3, 16, 16)).eval()
    other.load_state_dict(net.state_dict())
    video = torch.randn(VIDEO)
    torch.testing.assert_close(other(video).output, net(video).output)


def test_a_cnn_that_runs_its_parts_on_a_hidden_way_is_told():
    with pytest.raises(InputError, match=r"stages\.0\.1\.conv2: expected a module"):
        insert(Listed(reach=0), PLACES, input_size=(3, 16, 16))
    listed = Listed(reach=1)
    net = insert(listed, PLACES, input_size=(3, 16, 16))
    listed.reach = 0
    with pytest.raises(InputError, match=r"net: expected a CNN that runs \['stages.0.1.conv2', "):
        net(torch.randn(VIDEO))
