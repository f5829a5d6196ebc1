"""Programs of whole models equal the models, for other clips and numbers of clips."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stgraph import insert, recipes
from stgraph.checks import InputError
from stgraph.classifiers import CNNClassifier
from stgraph.edges import RadiusEdges
from stgraph.export import clip_program, difference, step_program
from stgraph.export.states import counted, filled, tensors
from stgraph.layers import RunningMean, space
from stgraph.layers.messages import normed_sums
from stgraph.nodes import GridNodes, NodeState
from stgraph.training.scaling import signed

LONG = (
    "motion_classes",
    "motion_small",
    "small_video",
    "rstg_official",
    "dyreg_r18",
    "dyreg_r4",
    "dyreg_r345",
)
slow = (pytest.mark.slow, pytest.mark.long)


@pytest.mark.parametrize(
    "name",
    [
        "dyreg_small",
        pytest.param("rstg", marks=pytest.mark.slow),
        *(pytest.param(name, marks=slow) for name in LONG),
    ],
)
def test_the_program_of_a_model_equals_it(model_of, clip_of, name):
    made = clip_of(name)
    run = made.program.module()
    video = made.video(5)
    # Nobody has trained the weights, and logits may be large.
    scale = max(1.0, float(run(video).detach().abs().max()))
    assert difference(lambda video: (run(video),), made) < 1e-5 * scale
    with torch.no_grad():
        torch.testing.assert_close(
            run(video), made.model(signed(video)).logits, rtol=1e-4, atol=1e-5
        )
    assert made.inputs == ("video",)
    assert made.shapes == (("clips", *model_of(name)[1]),)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("dyreg_small", marks=pytest.mark.slow),
        *(pytest.param(name, marks=slow) for name in ("rstg", *LONG[:5])),
    ],
)
def test_the_program_of_a_step_equals_the_stream(step_of, name):
    """Zeros are the state before the first frame, whatever a model starts from."""
    made = step_of(name)
    run, state, expected = made.program.module(), made.start(3), None
    for number in range(4):
        video = made.video(3, seed=number)
        logits, *state = run(video, *state)
        with torch.no_grad():
            answer = made.model(signed(video), expected)
        expected = answer.state
        torch.testing.assert_close(logits, answer.logits, rtol=1e-4, atol=1e-5)
    assert len(made.outputs) == len(made.inputs) == 1 + len(state)
    begun = [each for each in state if each.dtype == torch.bool and each.dim() == 0]
    right = list(tensors(counted(expected, 3)))
    assert len(state) - len(begun) == len(right)
    for one, other in zip(state[len(begun) :], right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    if begun:  # the first frame is another one than the next ones, as of Beginning, which is quick
        assert name in {"motion_small", "small_video"}


class Beginning(torch.nn.Module):
    """Adds a number in the first piece of a stream."""

    causal = True

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, video: Tensor, state: Tensor | None = None) -> Any:
        mean = video.mean((2, 3, 4)).sum(1, keepdim=True)  # [B, 1]
        before = torch.zeros_like(mean) if state is None else state
        return Said(before + mean + (self.by if state is None else 0), before + mean)


class Said(NamedTuple):
    logits: Tensor
    state: Tensor


@pytest.mark.parametrize("by", [0.0, 0.01, 0.5])
def test_a_first_frame_that_is_a_little_different_is_marked(by):
    made = step_program(Beginning(by).eval(), (1, 1, 4, 4))
    assert made.types == (("float32", "bool", "float32") if by else ("float32", "float32"))
    assert difference(made.program.module(), made) < 1e-6


@pytest.mark.slow
def test_windows_that_follow_in_a_cnn_have_a_step():
    """A program of a CNN with blocks has no branches: it goes both ways, of which it takes one."""
    block = recipes.dyreg_block(recipes.small_followers(4, 4), 4, map_size=8, rounds=1)
    nn.init.ones_(block.norm.weight)
    cnn = nn.Sequential(nn.Conv2d(1, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = CNNClassifier(insert(cnn, {"0": block}, input_size=(1, 16, 16)), 4).eval()
    made = step_program(model, (1, 1, 16, 16))
    assert made.types[:2] == ("float32", "bool")
    assert difference(made.program.module(), made, calls=3) < 1e-6
    video = torch.rand(2, 2, 1, 16, 16)
    second = model(video[:, 1:], model(video[:, :1]).state).logits
    assert not torch.allclose(second, model(video[:, 1:]).logits, atol=1e-6)  # ways that differ


@pytest.mark.slow
def test_a_step_may_be_of_several_frames(step_of):
    made = step_of("smallest", 2)
    assert difference(made.program.module(), made) < 1e-5


@pytest.mark.slow
def test_a_stream_is_compared_beyond_its_first_frame(model_of, step_of):
    """In as many calls as are asked for, where a program without a state has one."""
    model, (_, *size) = model_of("smallest")
    made, seen = step_of("smallest"), []
    run = made.program.module()

    def forgetful(video: Tensor, *state: Tensor) -> Any:
        seen.append(len(video))
        return run(video, *(torch.zeros_like(each) for each in state))

    assert difference(forgetful, made, calls=1) < 1e-5
    assert difference(forgetful, made, calls=2) > 1e-3
    assert seen == [1, 3, 1, 1, 3, 3]
    whole, seen = clip_program(model, (2, *size), signed), []
    answer = whole.program.module()

    def counting(video: Tensor) -> Any:
        seen.append(len(video))
        return (answer(video),)

    assert difference(counting, whole, calls=5) < 1e-5
    assert seen == [1, 3]


@pytest.mark.slow
def test_a_program_without_scaling_takes_what_the_model_does(model_of):
    model, size = model_of("smallest")
    made = clip_program(model, size)
    video = torch.randn(4, *size)
    with torch.no_grad():
        torch.testing.assert_close(
            made.program.module()(video), model(video).logits, rtol=1e-4, atol=1e-5
        )
    assert made.types == ("float32",)


@pytest.mark.slow
@pytest.mark.parametrize("make", [clip_program, step_program])
def test_there_is_a_largest_number_of_clips(model_of, make):
    model, (_, *size) = model_of("smallest")
    run = make(model, (1, *size), clips=3)
    module = run.program.module()
    assert module(run.video(3), *run.start(3)) is not None
    with pytest.raises((RuntimeError, AssertionError), match="<= 3"):
        module(run.video(4), *run.start(4))


@pytest.mark.slow
def test_answers_that_are_no_numbers_are_far_off(model_of):
    """One of them alone, too; and of several clips in the last one alone."""
    model, size = model_of("smallest")
    made = clip_program(model, size)
    run = made.program.module()
    for spoilt in (torch.nan, torch.inf):

        def spoiled(video: Tensor, spoilt: float = spoilt) -> Any:
            logits = run(video).clone()
            logits[-1, -1] = spoilt
            return (logits,)

        assert difference(spoiled, made) == float("inf")


def test_a_comparison_keeps_no_gradients():
    made, seen = step_program(Beginning(0.0).eval(), (1, 1, 4, 4)), []
    run = made.program.module()

    def watching(*given: Tensor) -> Any:
        seen.append(torch.is_grad_enabled())
        return run(*given)

    assert difference(watching, made) < 1e-6
    assert seen
    assert not any(seen)


@pytest.mark.parametrize(
    ("said", "told"), [("one\n\ntwo\nthree", "one two"), (" ", "RuntimeError"), ("a", "a")]
)
def test_of_what_an_exporter_says_two_lines_are_told(monkeypatch, said, told):
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(InputError, match=rf"torch\.export can follow, .* got {told}$"):
        clip_program(Beginning(0.0).eval(), (1, 1, 4, 4))


def test_parts_of_a_state_are_told_in_their_own_order():
    state = {"b": torch.zeros(2), "a": (torch.ones(3), {"d": torch.ones(1), "c": torch.zeros(4)})}
    again = filled(state, tensors(state))
    assert list(again) == ["b", "a"]
    assert [len(each) for each in tensors(again)] == [2, 3, 1, 4]
    assert {name: len(part) for name, part in again["a"][1].items()} == {"d": 1, "c": 4}


def test_what_cannot_be_a_program_is_told():
    model = recipes.dyreg_small(5)
    for make in (clip_program, step_program):
        with pytest.raises(InputError, match="model: expected one in evaluation mode"):
            make(model, (1, 1, 64, 64))
    model.eval()
    with pytest.raises(InputError, match="clips: expected a whole number of at least 2"):
        clip_program(model, (2, 1, 64, 64), clips=1)
    for sides in ((2, 64, 64), (1, 2, 1, 64, 64)):
        with pytest.raises(InputError, match=r"size: expected \(T, c, H, W\)"):
            clip_program(model, sides)
    with pytest.raises(InputError, match=r"x: expected \[F, 1, H, W\]"):  # of the model itself
        clip_program(model, (2, 3, 64, 64))
    waits = recipes.i3d_sync_mnist(5).eval()
    with pytest.raises(InputError, match=r"model: expected a causal one, .* got net, of a whole"):
        step_program(waits, (1, 1, 64, 64))
    silent = torch.nn.Identity().eval()  # says nothing of time
    with pytest.raises(InputError, match=r"model: expected a causal one, .* got Identity, of a "):
        step_program(silent, (1, 1, 64, 64))


@pytest.mark.slow
def test_edges_of_unknown_number_cannot_be_written_down():
    nodes = GridNodes(32, (3,), edges=RadiusEdges(0.4))
    model = recipes.dyreg_small(5, nodes=nodes).eval()
    with pytest.raises(InputError, match=r"model: expected one that torch\.export can follow"):
        clip_program(model, (2, 1, 64, 64))


def test_states_are_tensors_in_an_order():
    ones = torch.ones(2, 3)
    state = {
        "a": (NodeState(7, (ones,), 9), None, "text"),
        "b": RunningMean(2 * ones, 4, 3 * ones),
    }
    held = counted(state, 2)
    assert held["a"][0].clock == 0
    assert held["b"].frames.tolist() == [[4], [4]]
    found = list(tensors(held))
    assert len(found) == 4
    again = filled(held, iter([each + 1 for each in found]))
    assert type(again["b"]) is RunningMean
    assert again["a"][1:] == (None, "text")
    for one, other in zip(tensors(again), found, strict=True):
        torch.testing.assert_close(one, other + 1)
    assert counted(RunningMean(ones, torch.ones(2, 1)), 2).frames.tolist() == [[1], [1]]


@pytest.mark.slow
def test_stand_ins_of_an_exporter_are_taken_for_what_they_stand_for(model_of, monkeypatch):
    """So a program sums messages up as the model does, and writes none of their norms down."""
    model, size = model_of("smallest")
    summed = []

    def counting(*args: Any) -> Tensor:
        summed.append(torch.compiler.is_compiling())
        return normed_sums(*args)

    monkeypatch.setattr(space, "normed_sums", counting)
    clip_program(model, size)
    assert summed.count(True) == summed.count(False) > 0
