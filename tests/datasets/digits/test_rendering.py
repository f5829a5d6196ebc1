from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch

from stgraph.datasets import Digits, keep_contrast, stretch_contrast
from stgraph.datasets.digits import rendering
from stgraph.datasets.digits.rendering import Renderer


@pytest.fixture
def scene(digits: Digits) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.integers(0, len(digits), (6, 4)), random.integers(0, 73, (6, 3, 4, 2))


@pytest.mark.parametrize("stretch", [True, False])
def test_frames_are_those_of_the_rule(
    digits: Digits,
    scene: tuple[np.ndarray, np.ndarray],
    stretch: bool,
    device: torch.device,
    drawn_by_loops: Callable[..., np.ndarray],
) -> None:
    images = digits.images // (2 if stretch else 1)  # at most 127: there is something to stretch
    contrast = stretch_contrast if stretch else keep_contrast
    render = Renderer(images, (100, 100), (64, 64), contrast=contrast)
    video = render(*scene, device).cpu().numpy()
    assert video.shape == (6, 3, 1, 64, 64)
    for clip, (image, corners) in enumerate(zip(*scene, strict=True)):
        loops = drawn_by_loops(images[image], corners, 100, 64, stretch)
        assert np.abs(video[clip, :, 0].astype(int) - loops).max() <= 1
    assert video.max() > (200 if stretch else 150)


def test_later_digits_cover_earlier_ones_from_the_threshold_on() -> None:
    images = np.array([[[50, 9], [10, 0]], [[70, 70], [70, 70]]], np.uint8)
    corners = np.zeros((1, 1, 2, 2), np.int64)
    render = Renderer(images, (3, 2), (3, 2))
    above = render(np.array([[1, 0]]), corners, "cpu")
    below = render(np.array([[0, 1]]), corners, "cpu")
    assert above[0, 0, 0].tolist() == [[50, 70], [10, 70], [0, 0]]
    assert below[0, 0, 0].tolist() == [[70, 70], [70, 70], [0, 0]]
    everything = Renderer(images, (3, 2), (3, 2), threshold=0)(np.array([[1, 0]]), corners, "cpu")
    assert everything[0, 0, 0].tolist() == [[50, 9], [10, 0], [0, 0]]


@pytest.mark.parametrize("pixels", [1, 60_000, 1 << 30])
def test_frames_do_not_depend_on_how_many_are_drawn_at_once(
    digits: Digits,
    scene: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    pixels: int,
) -> None:
    render = Renderer(digits.images, (100, 100), (64, 64))
    whole = render(*scene, "cpu")
    monkeypatch.setitem(rendering._PIXELS, "cpu", pixels)
    assert torch.equal(render(*scene, "cpu"), whole)


def test_rendering_is_allowed_where_only_deterministic_operations_are(
    digits: Digits,
    scene: tuple[np.ndarray, np.ndarray],
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    render = Renderer(digits.images, (100, 100), (64, 64), contrast=stretch_contrast)
    video = render(*scene, device)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(render(*scene, device), video)
    finally:
        torch.use_deterministic_algorithms(False)


def test_ink_stays_behind_when_pickled(
    digits: Digits, scene: tuple[np.ndarray, np.ndarray], device: torch.device
) -> None:
    render = Renderer(digits.images, (100, 100), (64, 64))
    video = render(*scene, device)
    ink = render._ink_on(video.device)
    assert render._ink_on(video.device) is ink
    copy = pickle.loads(pickle.dumps(render))
    assert not copy._ink
    assert torch.equal(copy(*scene, device), video)


def test_stretching_is_that_of_eight_bit_images() -> None:
    frames = torch.zeros(4, 2, 3, dtype=torch.uint8)
    frames[0] = torch.tensor([[0, 50, 100], [200, 150, 7]])
    frames[1] = torch.tensor([[5, 255, 100], [200, 150, 7]])
    frames[2] = torch.tensor([[0, 255, 100], [200, 150, 7]])
    frames[3] = 9  # nothing to stretch
    expected = []
    for frame in frames.numpy().astype(float):
        span = (frame.max() - frame.min()) or 1
        expected.append(((frame - frame.min()) * (255 / span) + 0.5).astype(np.uint8))
    assert stretch_contrast(frames).tolist() == np.stack(expected).tolist()
    assert keep_contrast(frames) is frames


@pytest.mark.parametrize(("low", "high"), [(0, 254), (1, 255), (7, 8)])
def test_whatever_is_not_the_full_range_is_stretched_to_it(low: int, high: int) -> None:
    frame = torch.tensor([[[low, high], [high, low]]], dtype=torch.uint8)
    assert stretch_contrast(frame).tolist() == [[[0, 255], [255, 0]]]
