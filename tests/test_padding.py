"""Clips of different lengths in one batch are the same clips one by one."""

from __future__ import annotations

import pytest
import torch
from padded_clips import MASK, random, regions, same, spoilt
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.edges import (
    FullEdges,
    NearestEdges,
    space_time_graph,
    space_time_hetero,
    temporal_edges,
)
from stgraph.graph import (
    as_clips,
    frame_mask,
    from_dense,
    in_clips,
    in_frames,
    layout_of,
    newest,
    presence,
    to_dense,
    to_maps,
    validate,
)
from stgraph.layers import (
    AggregateReadout,
    Broadcast,
    ClipMapNorm,
    ClipNorm,
    FrameMapNorm,
    Readout,
    Remap,
    Scaled,
    SpaceLayer,
    TimeLayer,
)
from stgraph.model import GraphStage
from stgraph.nodes import (
    BoxNodes,
    NodeExtractor,
    Regions,
)
from stgraph.padding import align, check_frame_mask, pad_clips, put_frames, take_frames


@pytest.fixture
def graph() -> Batch:
    with torch.no_grad():
        return regions()(spoilt(random(3, 5, 4, 6, 7)), frame_mask=MASK)[0]


class TestFrames:
    def test_align_moves_what_exists_to_the_front(self):
        x = torch.arange(15.0).view(3, 5)
        expected = torch.tensor([[0, 1, 3, 0, 0], [5, 6, 7, 8, 9], [14, 0, 0, 0, 0.0]])
        assert torch.equal(align(x, MASK), expected)
        assert torch.equal(align(x, None), x)

    def test_putting_is_the_inverse_of_taking(self):
        x = random(3, 5, 2)
        assert take_frames(x, MASK).shape == (9, 2)
        back = put_frames(take_frames(x, MASK), MASK, 3)
        assert torch.equal(back, x * MASK[..., None])
        assert torch.equal(put_frames(take_frames(x, None), None, 3), x)

    def test_a_mask_of_everything_is_none(self):
        assert check_frame_mask(torch.ones(3, 5, dtype=torch.bool), 3, 5) is None
        assert check_frame_mask(None, 3, 5) is None

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (MASK[:2], r"frame_mask: expected \[3, 5\], got \[2, 5\]"),
            (MASK.float(), "frame_mask: expected a tensor of bool, got torch.float32"),
            (MASK.long(), "frame_mask: expected a tensor of bool, got torch.int64"),
            ([3, 5, 1], "frame_mask: expected a tensor"),
        ],
    )
    def test_other_masks_are_refused(self, mask, message):
        with pytest.raises(InputError, match=message):
            regions()(random(3, 5, 4, 6, 7), frame_mask=mask)

    def test_clips_are_padded_to_the_longest(self):
        clips = [torch.ones(2, 1, 3, 3), torch.ones(4, 1, 3, 3)]
        video, mask = pad_clips(clips)
        assert torch.equal(mask, torch.tensor([[True, True, False, False], [True] * 4]))
        assert torch.equal(video.sum((2, 3, 4)), mask * 9.0)
        with pytest.raises(InputError, match="clips: expected frames of one shape"):
            pad_clips([*clips, torch.ones(2, 1, 3, 4)])
        with pytest.raises(InputError, match="clips: expected tensors"):
            pad_clips([])


class TestGraphs:
    def test_there_is_a_graph_for_every_frame_that_exists(self, graph):
        validate(graph)
        layout = layout_of(graph)
        assert (graph.num_graphs, graph.num_nodes) == (9, 27)
        assert (layout.clips, layout.frames, layout.lengths) == (3, 5, (3, 5, 1))
        assert torch.equal(graph.batch, torch.arange(9).repeat_interleave(3))
        assert graph.time[::3].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0]

    def test_single_graphs_and_back_again(self, graph):
        back = validate(Batch.from_data_list(graph.to_data_list()))
        assert layout_of(back).lengths == (3, 5, 1)
        twice = Batch.from_data_list(back.to_data_list())
        for name, value in graph.to_dict().items():
            if name != "layout":
                assert torch.equal(back[name], value), name
                assert torch.equal(twice[name], value), name
        for number in range(9):
            assert torch.equal(graph[number].x, graph.x[3 * number : 3 * number + 3])
            assert validate(graph[number]).time[0] == graph.time[3 * number]
        assert torch.equal(to_dense(back.x, back), to_dense(graph.x, graph))
        assert torch.equal(presence(back), presence(graph))

    def test_clips_of_any_batches_and_lengths_stay_clips(self, graph):
        other, _ = regions()(random(2, 4, 4, 6, 7))
        frames = [*other[4:], *graph[:3], *other[:4], *graph[8:]]
        mixed = validate(Batch.from_data_list(frames))
        assert layout_of(mixed).lengths == (4, 3, 4, 1)
        assert torch.equal(to_dense(mixed.x, mixed)[1, :3], to_dense(graph.x, graph)[0, :3])
        assert mixed.time[::3].tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 0]
        time = TimeLayer(nn.GRU(4, 4)).double()
        out = to_dense(time(mixed.x, mixed)[0], mixed)
        same(out[1, :3], to_dense(time(graph.x, graph)[0], graph)[0, :3])
        same(out[2], to_dense(time(other.x, other)[0], other)[0])

    def test_a_loader_of_clips_of_different_lengths(self, graph):
        clips = [graph[:3], graph[3:8], graph[8:]]
        loader = torch.utils.data.DataLoader(
            clips,
            batch_size=2,
            collate_fn=lambda some: Batch.from_data_list(
                [frame for clip in some for frame in clip]
            ),
        )
        lengths = [layout_of(validate(batch)).lengths for batch in loader]
        assert lengths == [(3, 5), (1,)]

    def test_clips_of_one_length_are_what_they_always_were(self, graph):
        long = Batch.from_data_list(graph[3:8])
        assert layout_of(long).exists is None
        assert layout_of(long).frames == 5

    @pytest.mark.parametrize(
        "chosen", [[0, 1], [1, 2], [2, 1, 0], [0, 1, 2, 3], [0, 1, 5], [8, 0], [0, 3, 1, 2, 4]]
    )
    def test_frames_that_make_no_clips_are_refused_along_time(self, graph, chosen):
        part = validate(Batch.from_data_list([graph[number] for number in chosen]))
        x = SpaceLayer(4).double()(part.x, part)  # inside frames all is well
        for along in (
            lambda: TimeLayer(nn.GRU(4, 4)).double()(x, part),
            lambda: Readout()(x, part),
            lambda: to_dense(x, part),
            lambda: temporal_edges(part),
            lambda: space_time_graph(part),
            lambda: frame_mask(part),
        ):
            with pytest.raises(InputError, match=r"expected whole clips.*as_clips\(graph, 1\)"):
                along()
        alone = as_clips(part, 1)
        assert layout_of(alone).lengths == (1,) * len(chosen)
        assert torch.equal(alone.time, part.time)
        assert TimeLayer(nn.GRU(4, 4)).double()(x, alone)[0].isfinite().all()

    def test_which_frames_make_a_clip_can_be_said(self, graph):
        part = Batch.from_data_list([graph[n] for n in (3, 5, 7, 0, 1)])
        said = validate(as_clips(part, (3, 2)))
        assert layout_of(said).lengths == (3, 2)
        assert said.time[::3].tolist() == [0, 2, 4, 0, 1]
        assert torch.equal(to_dense(said.x, said)[1, 0], graph[0].x)
        again = Batch.from_data_list(said.to_data_list())
        assert layout_of(again).lengths == (3, 2)
        for wrong in ((3, 3), 2, (5, -1, 1)):
            with pytest.raises(InputError, match="lengths: expected"):
                as_clips(part, wrong)

    def test_frames_in_any_order_from_a_loader(self, graph):
        batches = list(DataLoader(graph.to_data_list(), batch_size=4, shuffle=True))
        assert sum(batch.num_graphs for batch in batches) == 9
        assert all(layout_of(as_clips(batch, 1)).frames == 1 for batch in batches)

    def test_dense_views(self, graph):
        dense = to_dense(graph.x, graph)
        assert dense.shape == (3, 5, 3, 4)
        assert torch.equal(from_dense(dense, graph), graph.x)
        lengths = torch.tensor([3, 5, 1])
        expected = torch.arange(5) < lengths[:, None]
        assert torch.equal(frame_mask(graph), expected)
        assert torch.equal(presence(graph), expected[..., None].expand(3, 5, 3))
        frames = torch.arange(9.0)
        assert torch.equal(in_frames(in_clips(frames, graph), graph), frames)
        assert to_maps(frames + 1, graph)[0].tolist() == [1, 2, 0, 3, 0]

    def test_what_every_clip_ends_with(self, graph):
        sequence = torch.arange(21.0).view(3, 7)  # two frames before
        assert newest(sequence, graph, 2).tolist() == [[3, 4], [12, 13], [15, 16]]
        assert newest(sequence, graph, 0).shape == (3, 0)
        with pytest.raises(InputError, match="sequence: expected at least 4"):
            newest(sequence, graph, 4)
        whole = Batch.from_data_list(graph[3:8])
        last = newest(sequence[:1, :5], whole)
        assert last.tolist() == [[4]]
        assert last.untyped_storage().nbytes() == 4  # a state does not hold the clip

    def test_edges_in_time_end_with_the_clip(self, graph):
        source, target = temporal_edges(graph)
        assert torch.equal(graph.node_id[source], graph.node_id[target])
        assert torch.equal(graph.time[source] + 1, graph.time[target])
        assert source.numel() == 3 * (2 + 4 + 0)
        clips = space_time_graph(graph)
        assert clips.num_graphs == 3
        assert [one.num_nodes for one in clips.to_data_list()] == [9, 15, 3]
        assert [one["node"].x.size(0) for one in space_time_hetero(graph).to_data_list()] == [
            9,
            15,
            3,
        ]
        assert clips[2].edge_index.size(1) == 9


class Remembering(NodeExtractor):
    """An extractor that knows nothing of masks: its window follows the mean of what it has seen."""

    def __init__(self, channels, edges=None, causal=True):
        super().__init__(channels, edges)
        self.causal = causal

    def regions(self, features, state=None, weight=None):
        b, t, _, h, w = features.shape
        bright = features.mean((2, 3, 4)) if weight is None else weight.reshape(b, t, -1).sum(2)
        seen = bright.cumsum(1) + (0 if state is None else state)
        if not self.causal:
            seen = bright.mean(1, keepdim=True).expand_as(bright)
        kernel = seen.sigmoid()[:, :, None, None, None] * features.new_ones(b, t, 2, h, w)
        kernel = (
            kernel
            * torch.linspace(0, 1, w, dtype=kernel.dtype)
            ** (1 + seen.abs())[:, :, None, None, None]
        )
        box = features.new_tensor([0, 0, 1, 1]).expand(b, t, 2, 4)
        return Regions(kernel, box, extra={"seen": seen[..., None].expand(b, t, 2)}), (
            seen[:, -1:] if self.causal else None
        )


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("told", [(3, 5), (3, 5, 2), None], ids=["B T", "B T 2", "nothing"])
def test_an_extractor_that_knows_nothing_of_masks_gets_them_for_free(causal, told):
    extractor = Remembering(4, FullEdges(), causal).double()
    features, weight = random(3, 5, 4, 6, 7), random(*told or (3, 5))
    hints = {"weight": spoilt(weight)} if told else {}
    graph, state = extractor(spoilt(features), frame_mask=MASK, **hints)
    validate(graph)
    for clip, length in enumerate((3, 5, 1)):
        own = {"weight": weight[clip : clip + 1, MASK[clip]]} if told else {}
        alone, _ = extractor(features[clip : clip + 1, MASK[clip]], **own)
        for name in ("x", "kernel", "seen"):
            same(to_dense(graph[name], graph)[clip, :length], to_dense(alone[name], alone)[0])
    if not causal:
        return
    parts, carried = [], None
    for t in range(5):
        now = {name: hint[:, t : t + 1] for name, hint in hints.items()}
        piece, carried = extractor(
            spoilt(features)[:, t : t + 1], carried, MASK[:, t : t + 1], **now
        )
        parts.append(piece.x)
    assert carried.clock == state.clock == (3, 5, 1)
    same(torch.cat(parts).sort(0).values, graph.x.sort(0).values)
    _, together = extractor(features)
    with pytest.raises(InputError, match="state: expected a frame_mask from the first piece on"):
        extractor(features, together, MASK)


class Sometimes(NodeExtractor):
    """An extractor that says which nodes are absent where some are, and nothing elsewhere."""

    def __init__(self, channels, edges, causal):
        super().__init__(channels, edges)
        self.causal = causal

    def regions(self, features, state=None):
        b, t, _, h, w = features.shape
        present = features.mean((2, 3, 4))[..., None] > features.new_tensor([-9.0, 0.0])
        box = features.new_tensor([0, 0, 1, 1]).expand(b, t, 2, 4)
        mask = None if present.all() else present
        return Regions(features.new_ones(b, t, 2, h, w), box, mask), None


@pytest.mark.parametrize("causal", [True, False], ids=["at once", "one by one"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_clips_of_which_some_have_all_nodes(order, causal):
    features = random(3, 5, 4, 6, 7).abs()[list(order)]
    features[order.index(0), 1] *= -1  # where the second node is away
    graph, _ = Sometimes(4, FullEdges(), causal)(spoilt(features), frame_mask=MASK)
    lengths = MASK.sum(1).tolist()
    away = 1 if lengths[order.index(0)] > 1 else 0
    assert graph.num_nodes == 2 * sum(lengths) - away
    assert graph.x.isfinite().all()
    present = to_dense(torch.ones(graph.num_nodes), graph).bool()
    for clip, length in enumerate(lengths):
        expected = torch.ones(length, 2, dtype=torch.bool)
        if clip == order.index(0):
            expected[1:2, 1] = False
        assert torch.equal(present[clip, :length], expected)


def test_boxes_of_frames_that_do_not_exist_may_be_anything():
    boxes = torch.tensor([0.2, 0.3, 0.6, 0.9], dtype=torch.float64).expand(3, 5, 2, 4)
    extractor = BoxNodes(4, edges=NearestEdges(1)).double()
    graph, _ = extractor(spoilt(random(3, 5, 4, 6, 7)), frame_mask=MASK, boxes=spoilt(boxes))
    assert graph.num_nodes == 18
    with pytest.raises(InputError, match="boxes: expected"):
        extractor(random(3, 5, 4, 6, 7), boxes=spoilt(boxes))


def test_nothing_waits_where_all_frames_exist(graph):
    whole, _ = regions()(random(3, 5, 4, 6, 7), frame_mask=torch.ones(3, 5, dtype=torch.bool))
    assert layout_of(whole).exists is None


NORMS = {
    "of frames": FrameMapNorm,
    "of clips": ClipMapNorm,
    "of clips, scaled": lambda c: Scaled(ClipMapNorm(c, 1e-12, scale=False)),
    "of frames, scaled": lambda c: Scaled(FrameMapNorm(c, scale=False)),
}
REMAPS = {
    "maps": Remap,
    "raw maps": lambda: Remap(normalised=False),
    "vector": Broadcast,
    "median": lambda: Broadcast(AggregateReadout("median", "last")),
}


def stage(norm, remap) -> GraphStage:
    """A graph with norms over clips in it, between convolutions; its last norm open."""
    torch.manual_seed(4)
    layers = {"clip": ClipNorm(4, 1e-12), "space": SpaceLayer(4), "time": TimeLayer(nn.LSTM(4, 4))}
    net = SpaceTimeGraph(regions(), layers, ("clip", "time", "space", "clip"))
    if norm is None:
        return GraphStage(net, 6, REMAPS[remap](), norm_in=nn.BatchNorm2d).double().eval()
    block = GraphBlock(net, 6, REMAPS[remap](), NORMS[norm]).double().eval()
    for name, parameter in block.named_parameters():
        if "norm" in name or "clip" in name:
            nn.init.normal_(parameter)
    return block


@pytest.mark.parametrize("norm", [None, *NORMS])
@pytest.mark.parametrize("remap", REMAPS)
def test_norms_over_clips_and_all_remaps_with_gradients(norm, remap):
    block, clean = stage(norm, remap), random(3, 5, 6, 6, 7)
    features, weight = spoilt(clean).requires_grad_(), random(6, 6, 7)
    needed = list(block.parameters())

    def gradients(out, features):
        loss = (out * weight).sum()
        return torch.autograd.grad(loss, [features, *needed], materialize_grads=True)

    out = block(features, frame_mask=MASK).features
    into, *together = gradients(out[MASK], features)
    assert into[~MASK].eq(0).all()
    alone = [torch.zeros_like(part) for part in needed]
    for clip in range(3):
        one = clean[clip : clip + 1, MASK[clip]].requires_grad_()
        own = block(one).features
        same(out[clip, MASK[clip]], own[0])
        grad, *grads = gradients(own, one)
        torch.testing.assert_close(into[clip, MASK[clip]], grad[0], atol=1e-8, rtol=1e-6)
        alone = [old + new for old, new in zip(alone, grads, strict=True)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("norm", [None, *NORMS])
@pytest.mark.parametrize("remap", REMAPS)
def test_any_block_takes_a_batch_without_any_frame(norm, remap):
    block, nothing = stage(norm, remap), random(3, 5, 6, 6, 7).fill_(torch.nan)
    out = block(nothing, frame_mask=torch.zeros_like(MASK)).features
    assert out.shape == nothing.shape
    assert out.isnan().all() if norm else out.eq(0).all()


def test_a_batch_without_any_frame():
    block = GraphBlock(
        SpaceTimeGraph(
            regions(),
            {"space": SpaceLayer(4), "time": TimeLayer(nn.LSTM(4, 4))},
            ("space", "time"),
        ).double()
    ).double()
    features, none = random(2, 3, 4, 6, 7), torch.zeros(2, 3, dtype=torch.bool)
    out = block(features, frame_mask=none)
    assert out.graph.num_graphs == 0
    assert torch.equal(out.features, features)
    first = block(features)
    paused = block(features, first.state, none)
    for one, other in zip(paused.state.layers[1], first.state.layers[1], strict=True):
        assert torch.equal(one, other)
    assert paused.state.nodes.clock == 3
    assert Readout("max", "last")(out.x, out.graph).eq(0).all()
