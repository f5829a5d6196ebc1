"""A clip whose graphs are known to the pixel, and a reader of pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
import torch

from stgraph.graph import Layout, attach_edges, frame_graphs
from stgraph.viz import ClipView

MakeClip = Callable[..., ClipView]
VOID = {"meta", "link", "img", "br", "source", "use", "path", "image", "rect", "input"}


class Page(HTMLParser):
    """Checks that tags nest; collects attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def check(text: str) -> Page:
    """A page is well formed, stands alone, and says what its pictures show."""
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert not re.search(r"https?://|//[a-z]+\.", text)
    for tag, attrs in page.tags:
        assert tag != "script"
        for name in ("src", "href", "srcset", "xlink:href"):
            if attrs.get(name):
                assert attrs[name].startswith(("data:", "#")), attrs[name][:60]
        if tag == "img":
            assert attrs["alt"]
        if tag == "svg":
            assert attrs["aria-label"]
            assert attrs["role"] == "img"
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    return page


def make_clip(
    frames: int = 4,
    nodes: int = 3,
    height: int = 16,
    width: int = 16,
    channels: int = 1,
    map_size: tuple[int, int] = (8, 8),
    absent: tuple[tuple[int, int], ...] = (),
    **answer: object,
) -> ClipView:
    """Black frames; node n has the box of a quarter-wide column walking down by a pixel a frame.

    Every kernel is 0 but in its middle cell; every pair of nodes of a frame is an edge, with
    weight 1, 2, 3, … in edge order. ``absent`` holds (frame, node) pairs.
    """
    number = torch.arange(nodes)
    time = torch.arange(frames)
    left = (number / (nodes + 1)).expand(frames, nodes)
    top = (time / height)[:, None].expand(frames, nodes)
    box = torch.stack([left, top, left + 1 / (nodes + 1), top + 0.5], -1)[None]  # [1, T, N, 4]
    kernel = torch.zeros(1, frames, nodes, *map_size)
    kernel[..., map_size[0] // 2, map_size[1] // 2] = 1
    mask = torch.ones(1, frames, nodes, dtype=torch.bool)
    for frame, node in absent:
        mask[0, frame, node] = False
    fields = {
        "x": torch.zeros(1, frames, nodes, 2),
        "pos": (box[..., :2] + box[..., 2:]) / 2,
        "box": box,
        "kernel": kernel,
        "mass": torch.ones(1, frames, nodes),
    }
    graph = frame_graphs(fields, Layout(1, frames, nodes, *map_size), mask if absent else None)
    rows = [(graph.batch == frame).nonzero().squeeze(1) for frame in range(frames)]
    edge_index = torch.cat([torch.cartesian_prod(row, row).T for row in rows], 1)
    graph = attach_edges(graph, edge_index)
    alpha = torch.arange(1.0, edge_index.size(1) + 1)
    video = torch.zeros(frames, channels, height, width, dtype=torch.uint8)
    return ClipView(video=video, graph=graph, alpha=alpha, **answer)  # type: ignore[arg-type]


@pytest.fixture
def clip() -> MakeClip:
    return make_clip


@pytest.fixture
def check_page() -> Callable[[str], Page]:
    return check
