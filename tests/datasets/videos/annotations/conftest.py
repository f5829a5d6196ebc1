"""Files of annotations, written by plain code, and views of all kinds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stgraph.datasets.videos import View


@pytest.fixture
def something_else() -> Callable[..., Path]:
    """Write boxes as Something-Else has them: ``{video: {frame: {name: (x1, y1, x2, y2)}}}``."""

    def write(path: Path, videos: dict[str, dict[int, dict[str, Any]]]) -> Path:
        content = {
            video: [
                {
                    "name": f"{video}/{frame:04d}.jpg",
                    "nr_instances": len(boxes),
                    "gt_placeholders": ["bottle"],
                    "labels": [
                        {
                            "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
                            "category": "hand" if name == "hand" else "bottle",
                            "standard_category": name,
                            "gt_annotation": f"object {name}",
                        }
                        for name, box in boxes.items()
                    ],
                }
                for frame, boxes in frames.items()
            ]
            for video, frames in videos.items()
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def some_view() -> Callable[[random.Random, int, int], View]:
    """A view of frames of some size: any resize, any cut, any second resize, mirrored or not."""

    def view(chance: random.Random, height: int, width: int) -> View:
        scaled = (chance.randint(4, 2 * height), chance.randint(4, 2 * width))
        cut = (chance.randint(1, scaled[0]), chance.randint(1, scaled[1]))
        top, left = chance.randint(0, scaled[0] - cut[0]), chance.randint(0, scaled[1] - cut[1])
        size = (chance.randint(1, 40), chance.randint(1, 40))
        return View(scaled, top, left, cut, size, chance.random() < 0.5)

    return view
