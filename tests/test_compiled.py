"""Every recipe is one graph for ``torch.compile``, in training, evaluation and on a stream."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import pytest
import torch
from recipes_of_parts import PARTS_OF_MODELS
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.utils import _pytree as pytree

from stgraph import recipes
from stgraph.classifiers import VideoClassifier
from stgraph.edges import FullEdges, GridEdges
from stgraph.graph import validate
from stgraph.layers import GraphConv, TimeLayer
from stgraph.model import GraphBlock, SpaceTimeGraph
from stgraph.nodes import GridNodes
from stgraph.recurrence import scan

# The compiler itself looks at every gradient.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

Made = tuple[VideoClassifier, tuple[int, ...]]
MODELS: dict[str, Callable[[], Made]] = {
    "c2d": lambda: (recipes.c2d(5), (1, 8, 3, 64, 64)),
    "c2d_official": lambda: (recipes.c2d_official(5), (1, 8, 3, 224, 224)),
    "conv_lstm": lambda: (recipes.conv_lstm(channels=8), (2, 3, 1, 64, 64)),
    "dyreg_multi_sync_mnist": lambda: (recipes.dyreg_multi_sync_mnist(5), (1, 2, 1, 128, 128)),
    "dyreg_small": lambda: (recipes.dyreg_small(), (2, 3, 1, 64, 64)),
    "dyreg_tsm_resnet18": lambda: (
        recipes.dyreg_tsm_resnet18(5, online=True, frame_size=96),
        (2, 2, 3, 96, 96),
    ),
    "dyreg_tsm_resnet50": lambda: (
        recipes.dyreg_tsm_resnet50(5, frame_size=160),
        (1, 2, 3, 160, 160),
    ),
    "frames_small": lambda: (recipes.frames_small(5), (2, 3, 1, 48, 48)),
    "residual_small": lambda: (recipes.residual_small(5), (2, 3, 1, 48, 48)),
    "i3d": lambda: (recipes.i3d(5), (1, 8, 3, 64, 64)),
    "i3d_official": lambda: (recipes.i3d_official(5), (1, 8, 3, 224, 224)),
    "i3d_sync_mnist": lambda: (recipes.i3d_sync_mnist(5), (1, 8, 1, 64, 64)),
    "mean_lstm": lambda: (recipes.mean_lstm(channels=8), (2, 3, 1, 64, 64)),
    "motion_classes": lambda: (recipes.motion_classes(5, width=16), (2, 3, 1, 64, 64)),
    "motion_small": lambda: (recipes.motion_small(), (2, 3, 1, 64, 64)),
    "motion_subsets": lambda: (recipes.motion_subsets(5, width=16), (2, 3, 1, 64, 64)),
    "non_local_i3d": lambda: (recipes.non_local_i3d(5), (1, 8, 3, 64, 64)),
    "non_local_official": lambda: (recipes.non_local_official(5), (1, 8, 3, 224, 224)),
    "non_local_sync_mnist": lambda: (recipes.non_local_sync_mnist(5), (1, 8, 1, 64, 64)),
    "resnet18_multi_sync_mnist": lambda: (
        recipes.resnet18_multi_sync_mnist(5),
        (1, 2, 1, 64, 64),
    ),
    "rstg_sync_mnist": lambda: (recipes.rstg_sync_mnist(channels=16), (2, 3, 1, 64, 64)),
    "rstg_sync_mnist_official": lambda: (
        recipes.rstg_sync_mnist_official(channels=16),
        (2, 3, 1, 64, 64),
    ),
    "rstg_to_map": lambda: (recipes.rstg_to_map(5), (1, 8, 3, 64, 64)),
    "rstg_to_map_official": lambda: (recipes.rstg_to_map_official(5), (1, 8, 3, 224, 224)),
    "rstg_to_vec": lambda: (recipes.rstg_to_vec(5), (1, 8, 3, 64, 64)),
    "rstg_to_vec_official": lambda: (recipes.rstg_to_vec_official(5), (1, 8, 3, 224, 224)),
    "rstg_to_vec_serial_official": lambda: (
        recipes.rstg_to_vec_serial_official(5),
        (1, 8, 3, 224, 224),
    ),
    "small_video": lambda: (recipes.small_video(5), (2, 3, 3, 48, 48)),
    "tsm_resnet50": lambda: (recipes.tsm_resnet50(5, online=True), (1, 2, 3, 64, 64)),
}


def of(names: Iterable[str], *short: str) -> list[Any]:
    """Parameters of a test; all but the short ones are long."""
    return [name if name in short else pytest.param(name, marks=pytest.mark.long) for name in names]


def awake(model: nn.Module) -> nn.Module:
    """Whose residuals do something, and which draws nothing at random."""
    for parameter in model.parameters():
        if parameter.dim() == 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def compiled(model: nn.Module) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend="aot_eager")


def close(found: Any, expected: Any) -> None:
    """Whether all tensors of two states are."""
    left, right = pytree.tree_leaves(found), pytree.tree_leaves(expected)
    for one, other in zip(left, right, strict=True):
        if isinstance(one, Tensor):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        else:
            assert one == other


def test_every_model_is_here():
    assert MODELS.keys() | PARTS_OF_MODELS == set(recipes.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("name", of(MODELS, "dyreg_small", "rstg_sync_mnist", "dyreg_tsm_resnet18"))
def test_a_recipe_is_one_graph_in_evaluation(name):
    model, size = MODELS[name]()
    awake(model).eval()
    video = torch.randn(size)
    with torch.no_grad():
        found, expected = compiled(model)(video), model(video)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    if expected.graph is not None:
        graph = validate(found.graph)
        close(graph.to_dict(), expected.graph.to_dict())
        assert len(graph.to_data_list()) == expected.graph.num_graphs


TRAINED = (
    "dyreg_small",
    "dyreg_tsm_resnet18",
    "motion_classes",
    "motion_small",
    "rstg_sync_mnist",
    "rstg_sync_mnist_official",
    "small_video",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", of(TRAINED, "dyreg_small"))
def test_a_recipe_is_one_graph_in_training(name):
    """For any number of clips: what differs from the first call is compiled once more."""
    model, (clips, *size) = MODELS[name]()
    awake(model).train()
    other = deepcopy(model)
    run = compiled(other)
    for number in (clips, clips + 1):
        video = torch.randn(number, *size)
        grads = [
            torch.autograd.grad(call(video).logits.square().sum(), list(owner.parameters()))
            for call, owner in ((run, other), (model, model))
        ]
        for found, expected in zip(*grads, strict=True):
            scale = expected.abs().max() + 1e-3
            torch.testing.assert_close(found / scale, expected / scale, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    of(
        ("dyreg_tsm_resnet18", "motion_classes", "motion_small", "rstg_sync_mnist"),
        "motion_classes",
    ),
)
def test_a_recipe_is_one_graph_on_a_stream(name):
    model, size = MODELS[name]()
    awake(model).eval()
    run, video = compiled(model), torch.randn(size[0], 4, *size[2:])
    states: list[Any] = [None, None]
    with torch.no_grad():
        for frame in video.split(1, dim=1):
            found, expected = run(frame, states[0]), model(frame, states[1])
            states = [found.state, expected.state]
            torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    close(*states)


@pytest.mark.slow
def test_a_stream_is_compiled_three_times_however_long_and_follows_its_weights():
    """Before there is a state, with its clock as a number, and with any: nothing after that."""
    made = (recipes.dyreg_block(recipes.dyreg_regions(4, 3, 6), 4, 6) for _ in range(2))
    block, other = (awake(each).eval() for each in made)
    count, states = CompileCounter(), [None, None]
    step = torch.compile(block, fullgraph=True, backend=count)
    with torch.no_grad():
        for number, frame in enumerate(torch.randn(6, 1, 1, 4, 6, 6)):
            if number == 4:
                block.load_state_dict(other.state_dict())
            found, expected = step(frame, states[0]), block(frame, states[1])
            states = [found.state, expected.state]
            torch.testing.assert_close(found.features, expected.features)
    assert count.frame_count == 3
    close(*states)


@pytest.mark.slow
def test_a_cell_is_followed_by_its_parts():
    layer = TimeLayer(nn.LSTM(3, 5, num_layers=2)).double()
    graph, _ = GridNodes(3, (2,))(torch.randn(2, 4, 3, 6, 6).double())
    out, memory = compiled(layer)(graph.x, graph)
    expected, after = layer(graph.x, graph)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(memory, after)
    layer.cell = nn.GRU(3, 5).double()  # another cell in place of the first
    torch.testing.assert_close(compiled(layer)(graph.x, graph)[0], layer(graph.x, graph)[0])
    graph.x.requires_grad_()
    parts = layer._parts_of_cell
    torch.testing.assert_close(
        scan(parts, torch.ones(1, 2, 1, 3).double()),
        scan(layer.cell, torch.ones(1, 2, 1, 3).double()),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo does not know")  # what puts frames into clips
@pytest.mark.parametrize("cell", [nn.GRU(3, 5), nn.LSTM(3, 5, num_layers=2)])
def test_clips_of_different_lengths_go_through_compiled_code(cell):
    layer, features = TimeLayer(cell).double(), torch.randn(2, 4, 3, 6, 6).double()
    mask = torch.tensor([[True, True, True, True], [True, False, True, False]])
    graph, _ = GridNodes(3, (2,))(features, frame_mask=mask)
    torch._dynamo.reset()
    with torch.no_grad():
        found = torch.compile(layer, backend="eager")(graph.x, graph)
    torch.testing.assert_close(found, layer(graph.x, graph))


@pytest.mark.parametrize("change", ["hook", "parametrisation", "class", "stand-in", "registered"])
def test_a_cell_that_is_more_than_its_parts_is_called(change):
    class Twice(nn.GRU):
        def forward(self, *args: Any) -> Any:
            out, memory = super().forward(*args)
            return 2 * out, memory

    class StandIn(nn.Module):
        mode, batch_first = "GRU", False
        input_size = hidden_size = 3
        num_layers = 1

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, steps: torch.Tensor, memory: torch.Tensor) -> Any:
            return self.inner(steps), memory

    layer = TimeLayer(Twice(3, 3) if change == "class" else nn.GRU(3, 3))
    if change == "stand-in":
        layer.cell = StandIn()
    if change == "registered":
        layer.register_module("cell", StandIn())
    if change == "hook":
        layer.cell.register_forward_hook(lambda cell, args, out: (2 * out[0], out[1]))
    if change == "parametrisation":
        nn.utils.parametrize.register_parametrization(layer.cell, "weight_hh_l0", nn.Tanh())
    graph, _ = GridNodes(3, (2,))(torch.randn(1, 2, 3, 6, 6))
    torch._dynamo.reset()
    with torch.no_grad():
        found, _ = torch.compile(layer, backend="eager")(graph.x, graph)
        torch.testing.assert_close(found, layer(graph.x, graph)[0])


@pytest.mark.parametrize(
    "copied", [lambda layer: layer, deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_layers_of_a_cell_drop_in_compiled_code_when_the_cell_does(copied):
    """By its own mode, and by how much it drops now."""
    layer = copied(TimeLayer(nn.GRU(16, 16, num_layers=2)))
    layer.cell.dropout = 0.5
    graph, _ = GridNodes(16, (2,))(torch.randn(2, 4, 16, 6, 6))
    torch._dynamo.reset()
    followed = torch.compile(layer, backend="eager", fullgraph=True)
    with torch.no_grad():
        for layer_mode, cell_mode in ((True, True), (False, True), (True, False), (False, False)):
            layer.train(layer_mode)
            layer.cell.train(cell_mode)
            first, second = (followed(graph.x, graph)[0] for _ in range(2))
            assert torch.equal(first, second) != cell_mode
        torch.testing.assert_close(first, layer(graph.x, graph)[0])


@pytest.mark.slow
def test_a_convolution_of_pyg_fits_into_the_graph():
    from torch_geometric.nn import GATv2Conv

    layers = {"space": GraphConv(GATv2Conv(8, 4, heads=2), 8), "time": TimeLayer(nn.GRU(8, 8))}
    for edges in (FullEdges(loops=False), GridEdges((2, 1))):
        net = SpaceTimeGraph(GridNodes(8, (2, 1), edges=edges), layers, ("space", "time") * 2)
        block, features = awake(GraphBlock(net)).eval(), torch.randn(2, 3, 8, 6, 6)
        with torch.no_grad():
            torch.testing.assert_close(compiled(block)(features).features, block(features).features)
