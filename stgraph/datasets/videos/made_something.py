"""A small data set in the layout of Something-Something v2, made on the spot, to try things out.

    root/labels/{labels,train,validation,test}.json, test-answers.csv
    root/20bn-something-something-v2/ID.webm
    root/annotations/bounding_box_smthsmth.json

are the files that the data set's owners distribute, and the boxes of Something-Else, of videos of
:class:`~stgraph.datasets.videos.MovingDigits`. Boxes are of training and validation videos, as
theirs are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgraph.checks import InputError
from stgraph.datasets.digits import Digits
from stgraph.datasets.videos.moving_digits import NAMES, TEMPLATES, MovingDigits, Scene
from stgraph.datasets.videos.reading import decoder, reformatter
from stgraph.writing import whole, write_whole

__all__ = ["BOXES", "VIDEOS", "make_something"]

SPLITS = ("train", "validation", "test")
VIDEOS = "20bn-something-something-v2"
"""Folder of the videos, as the owners' archives make it."""
BOXES = "annotations/bounding_box_smthsmth.json"
"""File of the boxes."""
RATE = 12
"""Frames a second, those of the original."""
THREADS = 2
"""Videos written at once: a disk is waited for, and encoders run beside Python."""
_NOTE = "made.json"


def make_something(
    root: str | Path,
    train: Digits,
    unseen: Digits,
    counts: tuple[int, int, int] = (1200, 400, 400),
    seed: int = 0,
    **scenes: Any,
) -> Path:
    """Write the data set, or what is missing of it.

    It is a function of its arguments: made twice, or stopped and made on, its files are the same
    byte for byte where the same versions of PyAV and FFmpeg write them. Each file appears whole or
    not at all.

    Args:
        root: the folder; its files from an earlier call are kept.
        train: digits of the training videos.
        unseen: digits of the validation and test videos.
        counts: how many videos for training, validation and test.
        seed: of every random number.
        **scenes: sizes and lengths of the videos, see :class:`MovingDigits`.

    Returns:
        The folder.

    Raises:
        InputError: when another data set lies there.
        OSError: when a file cannot be written.
    """
    root = Path(root)
    streams = {"train": train, "validation": unseen, "test": unseen}
    made = {
        split: MovingDigits(streams[split], count, 3 * seed + number, **scenes)
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True))
    }
    _claim(root, made)
    labels = root / "labels"
    if (labels / "labels.json").is_file():  # written last
        return root
    boxes: dict[str, Any] = {}
    answers = []
    for split, first in zip(SPLITS, np.cumsum((1, *counts)).tolist(), strict=False):
        names = [str(first + number) for number in range(len(made[split]))]
        paths = [root / VIDEOS / f"{name}.webm" for name in names]
        with ThreadPoolExecutor(THREADS) as pool:
            known = list(pool.map(partial(_make, made[split]), range(len(names)), paths))
        items = [_item(name, scene) for name, scene in zip(names, known, strict=True)]
        if split == "test":
            answers = [f"{item['id']};{_plain(item['template'])}\n" for item in items]
            items = [{"id": name} for name in names]
        else:
            boxes |= {name: _boxes(name, scene) for name, scene in zip(names, known, strict=True)}
        write_whole(labels / f"{split}.json", _json(items))
    write_whole(labels / "test-answers.csv", "".join(answers).encode())
    write_whole(root / BOXES, json.dumps(boxes).encode())  # millions of lines otherwise
    numbers = {_plain(template): str(label) for label, template in enumerate(TEMPLATES)}
    write_whole(labels / "labels.json", _json(numbers))
    return root


def _claim(root: Path, made: Mapping[str, MovingDigits]) -> None:
    """Write down what is made here, or find that it is something else."""
    what: dict[str, Any] = {"decoder": decoder()}
    for split, videos in made.items():
        digits = videos.digits
        digest = hashlib.sha256(digits.images.tobytes() + digits.labels.tobytes()).hexdigest()
        settings = {name: getattr(videos, name) for name in _SETTINGS}
        what[split] = {"digits": digest, "split": digits.split, **settings}
    content = _json(what)
    path = root / _NOTE
    if not path.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise InputError("root", "an empty folder, or one that this made", root)
        write_whole(path, content)
    elif path.read_bytes() != content:
        raise InputError("root", f"an empty folder, or one of the same {_NOTE}", root)


_SETTINGS = ("length", "seed", "height", "width", "side", "frames", "speed")


def _make(videos: MovingDigits, number: int, path: Path) -> Scene:
    """Write a video, if it is not there, and return what is known of it, without its frames."""
    scene = videos[number]
    if not path.is_file():
        _write_video(path, scene.frames)
    return replace(scene, frames=scene.frames[:0])


def _write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames ``[T, H, W, 3]`` as VP9 in WebM, of the same bytes every time."""
    import av

    options = {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0"}
    bare = {"fflags": "+bitexact"}  # no random number and no date in the file
    with (
        whole(path) as part,
        av.open(str(part), "w", format="webm", container_options=bare) as container,
    ):
        stream: Any = container.add_stream("libvpx-vp9", rate=RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        colours = reformatter(1, "yuv420p")
        for frame in frames:
            container.mux(stream.encode(colours(av.VideoFrame.from_ndarray(frame, "rgb24"))))
        container.mux(stream.encode(None))


def _item(name: str, scene: Scene) -> dict[str, Any]:
    template = TEMPLATES[scene.label]
    things = [NAMES[digit] for digit in scene.digits]
    told = template
    for thing in things:
        told = told.replace("[something]", f"a {thing}", 1)
    return {"id": name, "label": told, "template": template, "placeholders": things}


def _plain(template: str) -> str:
    """A template without its brackets, as the list of labels has it."""
    return template.replace("[", "").replace("]", "")


def _boxes(name: str, scene: Scene) -> list[dict[str, Any]]:
    """What Something-Else says of a video: a list of its frames."""
    things = [NAMES[digit] for digit in scene.digits]
    return [
        {
            "name": f"{name}/{number:04d}.jpg",
            "nr_instances": len(things),
            "gt_placeholders": things,
            "labels": [
                {
                    "box2d": dict(zip(("x1", "y1", "x2", "y2"), corners.tolist(), strict=True)),
                    "category": thing,
                    "standard_category": f"{place:04d}",
                    "gt_annotation": f"object {place}",
                }
                for place, (thing, corners) in enumerate(zip(things, frame, strict=True))
            ],
        }
        for number, frame in enumerate(scene.box, start=1)
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
