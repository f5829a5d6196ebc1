from __future__ import annotations

import io
import sys

import pytest
import torch

from stgraph.checks import InputError
from stgraph.viz import (
    animation_bytes,
    data_uri,
    identity_colour,
    image_bytes,
    region_frames,
    write_animation,
)
from stgraph.viz.animate import bounded_animation

Image = pytest.importorskip("PIL.Image")


def read(content: bytes) -> tuple[torch.Tensor, list[int]]:
    """Frames ``[T, h, w, 3]`` and their durations in milliseconds."""
    frames, durations = [], []
    with Image.open(io.BytesIO(content)) as file:
        for number in range(file.n_frames):
            file.seek(number)
            picture = file.convert("RGB")
            frames.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8))
            frames[-1] = frames[-1].view(picture.height, picture.width, 3)
            durations.append(file.info["duration"])
    return torch.stack(frames), durations


@pytest.fixture
def frames(clip):
    view = clip(frames=5, nodes=9)
    return region_frames(view.video, view.graph, scale=6)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_all_frames_come_back(frames, kind):
    back, durations = read(animation_bytes(frames, kind, fps=5, pause=1))
    assert back.shape == frames.shape
    assert durations == [200] * 4 + [1200]


def test_webp_is_lossless(frames):
    assert torch.equal(read(animation_bytes(frames, "webp"))[0], frames)


def test_gif_of_few_colours_is_lossless(clip):
    view = clip(nodes=9)
    flat = region_frames(view.video, view.graph, scale=6, kernels=0)
    assert torch.equal(read(animation_bytes(flat, "gif"))[0], flat)


def test_gif_keeps_the_colours_of_the_identities_among_thousands(frames):
    noise = torch.randint(0, 256, (5, 96, 40, 3), dtype=torch.uint8)
    wide = torch.cat([frames, torch.zeros(5, frames.size(1), 40, 3, dtype=torch.uint8)], 2)
    wide[:, :96, -40:] = noise
    assert len(wide.flatten(0, 2).unique(dim=0)) > 2000
    back, _ = read(animation_bytes(wide, "gif"))
    for node in range(9):
        colour = torch.tensor(identity_colour(node), dtype=torch.uint8)
        here = (frames == colour).all(-1)
        assert here.any()
        assert torch.equal(back[:, :, :-40][here], frames[here])
    assert (back.float() - wide.float()).abs().mean() < 12


def test_mp4_of_odd_size_reads_back(frames, tmp_path):
    av = pytest.importorskip("av")
    odd = frames[:, :95, :95]
    path = write_animation(tmp_path / "a.mp4", odd, fps=4, pause=0.5)
    with av.open(str(path)) as file:
        back = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(back) == 5 + 2  # the last one stays for half a second
    assert back[0].shape == (96, 96, 3)
    error = (torch.from_numpy(back[0][:95, :95]).float() - odd[0].float()).abs().mean()
    assert error < 12  # H.264 halves the resolution of colour


@pytest.mark.parametrize(("fps", "pause"), [(10, 0), (8, 0.25)])
def test_a_film_is_as_fast_as_it_is_told_and_stays_at_its_end(frames, tmp_path, fps, pause):
    av = pytest.importorskip("av")
    with av.open(str(write_animation(tmp_path / "a.mp4", frames, fps=fps, pause=pause))) as film:
        (stream,) = film.streams.video
        assert stream.average_rate == fps
        assert sum(1 for _ in film.decode(stream)) == 5 + round(pause * fps)
    path = write_animation(tmp_path / "a.gif", frames, fps=fps, pause=pause)
    _, durations = read(path.read_bytes())
    assert durations == pytest.approx([1000 / fps] * 4 + [1000 / fps + 1000 * pause], abs=10)


def test_write_animation_makes_folders_and_leaves_only_the_file(frames, tmp_path):
    path = write_animation(tmp_path / "new" / "a.gif", frames)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.gif"]
    assert path.read_bytes().startswith(b"GIF89a")


def test_nothing_is_left_half_written(frames, tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    path.write_bytes(b"older")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_animation(path, frames)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.gif"]
    assert path.read_bytes() == b"older"


def test_an_animation_that_is_thinned_out_takes_the_same_time():
    noise = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    encoded, _ = bounded_animation(noise, "webp", fps=4, most=1)
    _, durations = read(encoded)
    assert durations == [1000, 1000 + 500]  # of eight pictures of 250 ms; the last stays longer


def test_png_and_data_uri(frames):
    content = image_bytes(frames[0])
    with Image.open(io.BytesIO(content)) as file:
        assert file.size == (96, frames.size(1))
    assert data_uri(content, "png").startswith("data:image/png;base64,iVBOR")


def test_bad_input_is_named(frames, tmp_path):
    with pytest.raises(InputError, match="suffix of path: expected one of 'gif', 'webp', 'mp4'"):
        write_animation(tmp_path / "a.avi", frames)
    with pytest.raises(InputError, match=r"frames: expected \[T, H, W, 3\]"):
        animation_bytes(frames[0], "gif")
    with pytest.raises(InputError, match="frames: expected pixels of uint8"):
        animation_bytes(frames.float(), "gif")
    with pytest.raises(InputError, match="frames: expected at least one pixel"):
        animation_bytes(frames[:0], "gif")
    with pytest.raises(InputError, match="fps: expected"):
        animation_bytes(frames, "gif", fps=0)
    for pause in (-1, float("nan")):
        with pytest.raises(InputError, match="pause: expected"):
            animation_bytes(frames, "gif", pause=pause)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "module"), [("gif", "PIL.Image"), ("mp4", "av")])
def test_absent_package_says_how_to_install(frames, monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "stgraph-video\[viz\]"'):
        animation_bytes(frames, kind)
