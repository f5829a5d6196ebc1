"""Laws of every edge builder on any frame graphs: absent nodes, empty frames, one node, one frame.

A builder is found here by itself and built as ``Builder.example(N)``; one that fits certain N only
has a maker in ``FITTED``. One that knows identities by name, and not by what they look like or
where they are, stands in ``BY_IDENTITY``.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

import stgraph.edges
from stgraph.edges import (
    EdgeBuilder,
    FullEdges,
    GridEdges,
    NearestEdges,
    OverlapEdges,
    RadiusEdges,
    SimilarityEdges,
    TemplateEdges,
)
from stgraph.graph import Layout, frame_graphs, frame_of, slots, validate
from stgraph.testing import kinds


def squares(nodes: int) -> tuple[int, ...]:
    """Sides of square grids with so many cells together: 14 is (3, 2, 1)."""
    sides = []
    while nodes:
        sides.append(int(nodes**0.5))
        nodes -= sides[-1] ** 2
    return tuple(sides)


FITTED = {GridEdges: lambda nodes: GridEdges(squares(nodes))}
OPTIONS = {
    FullEdges: [lambda: FullEdges(loops=False)],
    NearestEdges: [lambda: NearestEdges(1, loops=True), lambda: NearestEdges(9)],
    OverlapEdges: [lambda: OverlapEdges(0.3), lambda: OverlapEdges(loops=True)],
    RadiusEdges: [lambda: RadiusEdges(0.6, loops=True), lambda: RadiusEdges(1e-6)],
    SimilarityEdges: [
        lambda: SimilarityEdges(1, "dot", loops=True),
        lambda: SimilarityEdges(2, field="pos"),
    ],
}
BY_IDENTITY = {GridEdges, TemplateEdges}


BUILDERS = kinds(stgraph.edges, EdgeBuilder)
of_every_kind = pytest.mark.parametrize("kind", BUILDERS, ids=lambda kind: kind.__name__)


def made(kind: type[EdgeBuilder], nodes: int) -> list[EdgeBuilder]:
    first = FITTED.get(kind, kind.example)(nodes)
    return [first, *(maker() for maker in OPTIONS.get(kind, ()))]


class Scene(NamedTuple):
    clips: int
    frames: int
    nodes: int
    present: float
    """Share of the nodes that are there; the last frame of the first clip is empty below 1."""
    seed: int

    def graph(
        self,
        clips: slice = slice(None),
        order: torch.Tensor | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Batch:
        """Frames without edges, of some clips, of the identities in another order."""
        generator = torch.Generator().manual_seed(self.seed)
        lead = (self.clips, self.frames, self.nodes)

        def rand(width: int) -> torch.Tensor:
            return torch.rand(*lead, width, generator=generator, dtype=torch.float64)

        low = 0.8 * rand(2)
        fields = {
            "x": rand(6) * 4 - 2,
            "box": torch.cat([low, low + 0.2 * rand(2)], dim=-1),
            "kernel": torch.full((*lead, 3, 2), 1 / 6, dtype=torch.float64),
            "mass": rand(1)[..., 0],
        }
        fields["pos"] = (fields["box"][..., :2] + fields["box"][..., 2:]) / 2
        mask = None
        if self.present < 1:
            mask = rand(1)[..., 0] < self.present
            mask[0, -1] = False
        order = torch.arange(self.nodes) if order is None else order

        def cut(value: torch.Tensor) -> torch.Tensor:
            return value[clips][:, :, order]

        chosen = {name: cut(value).to(dtype) for name, value in fields.items()}
        layout = Layout(chosen["x"].size(0), self.frames, self.nodes, 3, 2)
        return frame_graphs(chosen, layout, None if mask is None else cut(mask))


scenes = st.builds(
    Scene,
    clips=st.integers(1, 3),
    frames=st.integers(1, 4),
    nodes=st.sampled_from([1, 2, 3, 5, 7, 14]),
    present=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 10_000),
)
few = settings(max_examples=25, derandomize=True, deadline=None)


def between_slots(graph: Batch) -> torch.Tensor:
    """Edges as pairs of slots ``[2, E]``, which do not depend on who is absent."""
    place = slots(graph)
    return graph.edge_index if place is None else place[graph.edge_index]


def test_nothing_is_listed_that_is_not_there():
    assert set(FITTED) | set(OPTIONS) | BY_IDENTITY <= set(BUILDERS)


@of_every_kind
@few
@given(scene=scenes)
def test_edges_are_valid_and_sorted_and_leave_the_graph_that_came(kind, scene):
    bare = scene.graph()
    for builder in made(kind, scene.nodes):
        graph = validate(builder(bare))
        assert "edge_index" not in bare
        assert graph.edge_index.dtype == torch.long
        assert graph.edge_index.dim() == 2
        frame = frame_of(graph)[graph.edge_index]
        assert torch.equal(frame[0], frame[1])
        assert (graph.edge_index[1].diff() >= 0).all()  # the best order
        key = graph.edge_index[1] * graph.num_nodes + graph.edge_index[0]
        assert key.unique().numel() == key.numel()
        for number in range(graph.num_graphs):
            one = graph[number]
            assert one.edge_index.numel() == 0 or one.edge_index.max() < one.num_nodes


@of_every_kind
@few
@given(scene=scenes)
def test_a_clip_alone_has_the_edges_of_the_clip_in_a_batch(kind, scene):
    for builder in made(kind, scene.nodes):
        whole = between_slots(builder(scene.graph()))
        stride = scene.frames * scene.nodes
        for clip in range(scene.clips):
            alone = between_slots(builder(scene.graph(clips=slice(clip, clip + 1))))
            mine = whole[:, torch.div(whole[1], stride, rounding_mode="floor") == clip]
            assert torch.equal(mine - clip * stride, alone)


@pytest.mark.parametrize(
    "kind", [kind for kind in BUILDERS if kind not in BY_IDENTITY], ids=lambda kind: kind.__name__
)
@few
@given(scene=scenes)
def test_renaming_the_nodes_renames_the_edges(kind, scene):
    order = torch.randperm(scene.nodes, generator=torch.Generator().manual_seed(scene.seed))
    for builder in made(kind, scene.nodes):
        first = between_slots(builder(scene.graph()))
        second = between_slots(builder(scene.graph(order=order)))  # slot n holds node order[n]
        back = second - second % scene.nodes + order[second % scene.nodes]
        assert set(map(tuple, back.t().tolist())) == set(map(tuple, first.t().tolist()))


@of_every_kind
@few
@given(scene=scenes)
def test_only_nodes_that_are_there_have_edges_and_they_do_not_see_the_rest(kind, scene):
    bare = scene.graph()
    there = slots(bare)
    for builder in made(kind, scene.nodes):
        ends = between_slots(builder(bare)).unique()
        assert there is None or torch.isin(ends, there).all()
        again = scene.graph()  # what other frames hold does not matter
        frame = frame_of(again)
        again.x = torch.where(frame[:, None] == 0, again.x, again.x.flip(-1) - 1)
        first = frame[builder(bare).edge_index[1]] == 0
        changed = builder(again)
        same = frame[changed.edge_index[1]] == 0
        assert torch.equal(changed.edge_index[:, same], builder(bare).edge_index[:, first])


@of_every_kind
@few
@given(scene=scenes, dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_edges_are_valid_in_every_precision(kind, scene, dtype):
    for builder in made(kind, scene.nodes):
        graph = builder(scene.graph(dtype=dtype))
        assert validate(graph).x.dtype == dtype
        assert graph.edge_index.dtype == torch.long
