"""What a CNN takes beside images, and what it returns, stay what they are with blocks in it."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stgraph import insert
from stgraph.checks import InputError

B, T = 2, 3


class ModelOutput(OrderedDict):
    """What transformers' models return: a mapping and a data class at once, kept in step."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                self[each.name] = value

    def __getitem__(self, key: Any) -> Any:
        return dict(self.items())[key] if isinstance(key, str) else self.to_tuple()[key]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.keys() and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def __reduce__(self) -> Any:
        if not is_dataclass(self):
            return super().__reduce__()
        kind, _, *rest = super().__reduce__()
        return kind, tuple(getattr(self, each.name) for each in fields(self)), *rest

    def __delitem__(self, *_: Any) -> None:
        raise TypeError

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(self[key] for key in self.keys())


@dataclass
class Features(ModelOutput):
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    logits: Tensor
    name: str


@dataclass
class Made:
    logits: Tensor
    inner: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.inner = {"maps": self.logits[..., None]}


class Named(NamedTuple):
    logits: Tensor
    inner: Any


class Mine(list):
    pass


OUTPUTS = {
    "dataclass": lambda x, maps: Made(x),
    "frozen": lambda x, maps: Frozen(x, "a"),
    "model output": lambda x, maps: Features(x, (maps, x)),
    "named tuple": lambda x, maps: Named(x, {"deep": [Frozen(x, "b"), (maps,)]}),
    "dict": lambda x, maps: {"logits": x, "inner": {"maps": maps, "number": 3}},
    "ordered": lambda x, maps: OrderedDict(logits=x, inner=OrderedDict(maps=maps)),
    "default": lambda x, maps: defaultdict(list, logits=x),
    "user dict": lambda x, maps: UserDict(logits=x),
    "proxy": lambda x, maps: MappingProxyType({"logits": x}),
    "list": lambda x, maps: Mine([x, maps, "a"]),
    "largest": lambda x, maps: x.max(1),
}


class CNN(nn.Module):
    """Returns what it was asked for, and says what it was told."""

    def __init__(self, kind: str = "dict") -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)
        self.told: dict[str, Any] = {}

    def forward(self, image, output_hidden_states=False, mask=None, **more):
        self.told = {"hidden": output_hidden_states, "mask": mask, **more}
        maps = self.stem(image)
        return OUTPUTS[self.kind](self.head(maps.mean((2, 3))), maps)


def flat(value: Any) -> list[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, each.name) for each in fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for each in value for t in flat(each)] if isinstance(value, (list, tuple)) else []


@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_a_cnn_returns_keeps_its_type(kind):
    cnn = CNN(kind).eval()
    video = torch.rand(B, T, 3, 8, 8)
    plain = cnn(video.flatten(0, 1))
    net = insert(cnn, {"stem": Identity()}, input_size=(3, 8, 8)).eval()
    out = net(video).output
    assert type(out) is type(plain)
    assert len(flat(out)) == len(flat(plain))
    for made, expected in zip(flat(out), flat(plain), strict=True):
        assert made.shape == (B, T, *expected.shape[1:])
        torch.testing.assert_close(made.flatten(0, 1), expected)
    if kind == "model output":
        assert out["logits"] is out.logits is out[0] is out.to_tuple()[0]
        assert isinstance(out.hidden_states, tuple)
        assert list(out) == ["logits", "hidden_states"]
        assert out.loss is None
    if kind == "default":
        assert out["more"] == []
    if kind == "frozen":
        assert out.name == "a"


@pytest.mark.parametrize("kind", [kind for kind in OUTPUTS if kind not in ("largest", "proxy")])
def test_what_a_cnn_keeps_of_its_answer_stays_as_it_was(kind):
    kept = []

    class Keeps(CNN):
        def forward(self, image):
            kept.append(super().forward(image))
            return kept[-1]

    net = insert(Keeps(kind), {"stem": Identity()}, input_size=(3, 8, 8))
    kept.clear()  # of the run that found the sizes
    out = net(torch.rand(B, T, 3, 8, 8)).output
    (mine,) = kept
    assert all(len(each) == B * T for each in flat(mine))
    assert all(each.shape[:2] == (B, T) for each in flat(out))


def test_what_has_no_entry_for_each_frame_stays_as_it_is():
    class WithAnchors(CNN):
        def forward(self, image):
            told = super().forward(image)
            return told | {"anchors": torch.arange(4.0 * B).view(2 * B, 2), "scale": torch.ones(())}

    net = insert(WithAnchors(), {"stem": Identity()}, input_size=(3, 8, 8))
    out = net(torch.rand(B, T, 3, 8, 8)).output
    assert out["logits"].shape == (B, T, 5)
    assert torch.equal(out["anchors"], torch.arange(4.0 * B).view(2 * B, 2))
    assert out["scale"].shape == ()


class Out(NamedTuple):
    features: Tensor
    state: None = None


class Identity(nn.Module):
    """A block that can be told a mask, or nothing."""

    causal = True

    def forward(self, features, state=None):
        return Out(features)


class Boxed(Identity):
    def forward(self, features, state=None, boxes=None):
        assert boxes is not None
        return Out(features)


class Padded(Identity):
    def forward(self, features, state=None, frame_mask=None):
        return Out(features)


class Masked(Identity):
    def forward(self, features, state=None, mask=None):
        return Out(features)


class Open(Identity):
    def forward(self, features, state=None, **told):
        assert set(told) <= {"more"}
        return Out(features)


def test_arguments_of_the_cnn_reach_it():
    cnn = CNN()
    net = insert(cnn, {"stem": Boxed()}, input_size=(3, 8, 8))
    video, mask, boxes = torch.rand(B, T, 3, 8, 8), torch.rand(B, T, 7), torch.rand(B, T, 1, 4)
    table = torch.rand(B * T, 2)
    net(video, output_hidden_states=True, mask=mask, boxes=boxes, scale=2.0, table=table)
    assert cnn.told["hidden"] is True
    assert torch.equal(cnn.told["mask"], mask.flatten(0, 1))  # an entry a frame, as the images
    assert cnn.told["table"] is table
    assert cnn.told["scale"] == 2.0
    assert "boxes" not in cnn.told


@pytest.mark.parametrize("sizes", [(B,), (B, T + 1), (T, B), (B, 1, T), (B * T,)])
def test_an_option_without_an_entry_a_frame_is_handed_on_as_it_is(sizes):
    cnn = CNN()
    table = torch.rand(sizes)
    insert(cnn, {"stem": Identity()}, input_size=(3, 8, 8))(torch.rand(B, T, 3, 8, 8), table=table)
    assert cnn.told["table"] is table


def test_options_of_frames_that_do_not_exist_stay_behind():
    cnn = CNN()
    net = insert(cnn, {"stem": Padded()}, input_size=(3, 8, 8))
    exists = torch.tensor([[True] * T, [True] + [False] * (T - 1)])
    mask = torch.rand(B, T, 7)
    net(torch.rand(B, T, 3, 8, 8), frame_mask=exists, mask=mask)
    assert torch.equal(cnn.told["mask"], mask[exists])


def test_a_name_that_both_have_is_refused():
    net = insert(CNN(), {"stem": Masked()}, input_size=(3, 8, 8))
    with pytest.raises(
        InputError, match=r"hints: expected a name that either .* got 'mask', which"
    ):
        net(torch.rand(B, T, 3, 8, 8), mask=torch.rand(B, T))


def test_a_block_that_takes_anything_leaves_the_cnn_what_it_names():
    cnn = CNN()
    net = insert(cnn, {"stem": Open()}, input_size=(3, 8, 8))
    net(torch.rand(B, T, 3, 8, 8), output_hidden_states=True, more=1)
    assert cnn.told == {"hidden": True, "mask": None}


@pytest.mark.parametrize(
    ("names", "refused"), [({"mask"}, True), ({"boxes"}, False), (None, False), (set(), False)]
)
def test_a_block_may_say_itself_what_it_takes(names, refused):
    """What it names it shares with no CNN; one that takes anything leaves it what it names."""

    class Saying(Open):
        def takes(self, hint: str) -> bool:
            return names is None or hint in names

    cnn, mask = CNN(), torch.rand(B, T, 7)
    net = insert(cnn, {"stem": Saying()}, input_size=(3, 8, 8))
    if refused:
        with pytest.raises(InputError, match="hints: expected a name that either"):
            net(torch.rand(B, T, 3, 8, 8), mask=mask)
        return
    net(torch.rand(B, T, 3, 8, 8), mask=mask)
    assert torch.equal(cnn.told["mask"], mask.flatten(0, 1))


def test_the_images_are_no_option():
    net = insert(CNN(), {"stem": Identity()}, input_size=(3, 8, 8))
    with pytest.raises(InputError, match=r"what a block or the CNN takes, got \['image'\]"):
        net(torch.rand(B, T, 3, 8, 8), image=torch.rand(B, 3, 8, 8))


def test_options_of_a_3d_cnn_are_left_as_they_are():
    class CNN3D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, 1)

        def forward(self, clip: Tensor, mask: Tensor | None = None) -> Any:
            return {"maps": self.conv(clip), "mask": mask}

    net = insert(CNN3D(), {"conv": Identity()}, input_size=(3, T, 8, 8))
    mask = torch.rand(B, T)
    out = net(torch.rand(B, T, 3, 8, 8), mask=mask).output
    assert out["mask"] is mask
    assert out["maps"].shape == (B, 4, T, 8, 8)


def test_a_block_before_a_part_leaves_it_its_other_arguments():
    class Scaled(nn.Module):
        def forward(self, x: Tensor, factor: float = 1.0, shift: float = 0.0) -> Tensor:
            return x * factor + shift

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Scaled()

        def forward(self, x: Tensor) -> Tensor:
            return self.part(x, 3.0, shift=0.5)

    net = insert(Net(), {}, before={"part": Identity()}, input_size=(3, 8, 8))
    video = torch.rand(B, T, 3, 8, 8)
    torch.testing.assert_close(net(video).output, video * 3 + 0.5)
