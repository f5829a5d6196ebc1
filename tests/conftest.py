"""What all tests share."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml

if TYPE_CHECKING:  # PyG takes seconds, also of the process that only hands out the tests.
    from torch_geometric.data import Data

# Tests that run beside others, and the processes that they start, take one core each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


# What is started in the background ignores Ctrl-C, and so would all that it starts itself.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # torch.manual_seed writes down where it was called from for devices that are not there.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    """Fail a test that leaves torch set otherwise: the numbers of those after it would change."""
    before = settings()
    yield
    after = settings()
    torch.set_num_threads(before["threads"])
    assert after == before


def settings() -> dict[str, Any]:
    """What holds for a whole process."""
    return {
        "threads": torch.get_num_threads(),
        "type": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "products": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(),
    }


@pytest.fixture
def live_tensors() -> Iterator[Callable[[], tuple[int, int]]]:
    """Count the tensors that are alive, and their bytes, of those made since the test began.

    What other tests left behind may go at any moment, so it is kept out of the count.
    """

    def count() -> tuple[int, int]:
        gc.collect()
        found = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
        return len(found), sum(tensor.untyped_storage().nbytes() for tensor in found)

    gc.collect()
    gc.freeze()
    yield count
    gc.unfreeze()


@pytest.fixture(scope="session")
def same() -> Callable[[Data, Data], bool]:
    """Tell whether two graphs have equal fields, bit by bit."""

    def equal(one: Data, other: Data) -> bool:
        a, b = one.to_dict(), other.to_dict()
        return a.keys() == b.keys() and all(
            torch.equal(value, b[name]) if isinstance(value, torch.Tensor) else value == b[name]
            for name, value in a.items()
        )

    return equal


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of data outside the repository; its tests are skipped where there is none."""
    root = os.environ.get("STGRAPH_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("set STGRAPH_DATA to the folder that holds mnist/ and sync_mnist/")
    return Path(root)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """The module of benchmarks/ that a test names as its parameter."""
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    return importlib.import_module(request.param)


@pytest.fixture
def config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any] | None], str]:
    """Write a small configuration of user-made parts, with changes, and return its path."""
    shutil.copy(Path(__file__).with_name("parts_of_a_user.py"), tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def write(changes: dict[str, Any] | None = None) -> str:
        content: dict[str, Any] = {
            "run": "small",
            "trainer": {
                "max_epochs": 2,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "log_every_n_steps": 1,
            },
            "model": {"model": {"class_path": "parts_of_a_user.Tiny"}},
            "data": {
                "train": {"class_path": "parts_of_a_user.Noise"},
                "val": {"class_path": "parts_of_a_user.Noise", "init_args": {"seed": 1}},
                "test": {"class_path": "parts_of_a_user.Noise"},
                "batch_size": 8,
            },
        }
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            place = content
            for part in path:
                place = place[part]
            place[last] = value
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return str(file)

    return write


@pytest.fixture
def video_file() -> Callable[..., Path]:
    """Write a video of stripes that move, at 25 frames a second."""
    av = pytest.importorskip("av")

    def write(
        path: Path,
        frames: int = 20,
        size: tuple[int, int] = (64, 48),
        codec: str = "libx264",
        rate: int = 25,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(frames):
                pixels = np.full((size[1], size[0], 3), 40, np.uint8)
                pixels[:, 3 * number % size[0], 2] = 255
                pixels[2 * number % size[1]] = 200
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def frame_folder() -> Callable[..., Path]:
    """Write a folder of images, a frame each."""
    image = pytest.importorskip("PIL.Image")

    def write(folder: Path, frames: int = 8, size: tuple[int, int] = (64, 48)) -> Path:
        folder.mkdir(parents=True)
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 10 * number % 256, np.uint8)
            image.fromarray(pixels).save(folder / f"{number + 1:05d}.png")
        return folder

    return write
