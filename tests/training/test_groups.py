from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, GCNConv

from stgraph import recipes
from stgraph.checks import InputError
from stgraph.layers import GraphConv
from stgraph.training import ClassificationModule, Group, RegionGroups, TSMGroups, together
from stgraph.training.groups import build

MODELS: dict[str, Callable[[], nn.Module]] = {
    "DyReG": recipes.dyreg_small,
    "RSTG": lambda: recipes.rstg_sync_mnist(channels=8),
    "DyReG in a CNN": recipes.dyreg_multi_sync_mnist,
    "DyReG in TSM": lambda: on_meta(recipes.dyreg_tsm_resnet50),
    "RSTG in I3D": lambda: on_meta(recipes.rstg_to_map),
}
sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)


def on_meta(recipe: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return recipe()


class Own(nn.Module):
    """What no rule knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))


def names(module: nn.Module, groups: list[Group]) -> dict[str, str]:
    """Name of its group by the name of each parameter."""
    of = {id(p): group.name for group in groups for p in group.parameters}
    return {name: of[id(p)] for name, p in module.named_parameters()}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("groups", [together, TSMGroups()], ids=["together", "TSM"])
def test_every_parameter_is_in_exactly_one_group(model: str, groups) -> None:
    module = ClassificationModule(MODELS[model]())
    found = [id(p) for group in groups(module) for p in group.parameters]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in module.parameters()}
    if groups is not together:
        ends = [g.parameters for g in groups(module) if g.name.startswith("classifier")]
        assert [len(end) for end in ends] == [1, 1]
        assert ends[0][0].shape[0] == module.model.num_classes


def test_the_groups_are_those_of_the_papers() -> None:
    module = ClassificationModule(recipes.dyreg_small())
    groups = TSMGroups()(module)
    found = names(module, groups)
    for end, group in {
        "backbone.layers.0.weight": "weights",  # the first convolution
        "backbone.layers.1.weight": "norms",  # of batches
        "backbone.layers.1.bias": "norms",
        "nodes.generator.up.weight": "weights",  # a transposed convolution
        "nodes.generator.up.bias": "biases",
        "nodes.norm_in.weight": "norms",
        "nodes.alpha": "weights",
        "layers.time.cell.weight_hh_l0": "weights",
        "layers.time.cell.bias_hh_l0": "biases",
        "layers.norm.bias": "norms",  # of nodes
        "layers.space.gather.bias": "weights",  # the attention's
        "layers.space.gather.query.bias": "biases",
        "model.classifier.weight": "classifier_weights",
        "model.classifier.bias": "classifier_biases",
    }.items():
        matches = {value for name, value in found.items() if name.endswith(end)}
        assert matches == {group}, end
    factors = {group.name: (group.rate, group.decay) for group in groups}
    assert factors == {
        "weights": (1, 1),
        "biases": (2, 0),
        "norms": (1, 0),
        "classifier_weights": (5, 1),
        "classifier_biases": (10, 0),
    }


def test_what_no_rule_knows_is_left_as_it_is() -> None:
    net = nn.ModuleDict(
        {
            "own": Own(),
            "attention": nn.MultiheadAttention(4, 2, add_bias_kv=True),
            "gcn": GCNConv(4, 4),
            "graph": GraphConv(GATv2Conv(4, 4), 4),
            "fc": nn.Linear(2, 2),
        }
    )
    found = names(net, TSMGroups()(net))
    assert found["own.bias"] == found["attention.bias_k"] == "weights"
    assert found["attention.in_proj_bias"] == found["attention.out_proj.bias"] == "biases"
    assert found["graph.conv.bias"] == found["gcn.bias"] == "biases"
    assert found["gcn.lin.weight"] == "weights"
    assert found["graph.conv.lin_l.weight"] == "weights"  # PyG's own linear map
    assert found["graph.conv.lin_l.bias"] == "biases"
    assert found["graph.conv.att"] == "weights"


def test_the_classifier_is_the_last_map_of_what_is_called_so() -> None:
    net = nn.Module()
    net.block = nn.Linear(2, 2)
    net.classifier = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Dropout())
    found = names(net, TSMGroups()(net))
    assert [n for n, group in found.items() if group.startswith("classifier")] == [
        "classifier.2.weight",
        "classifier.2.bias",
    ]
    named = names(net, TSMGroups("classifier.0")(net))
    assert named["classifier.0.weight"] == "classifier_weights"
    assert named["classifier.2.weight"] == "weights"
    wrapped = ClassificationModule(net)
    assert names(wrapped, TSMGroups("block")(wrapped))["model.block.bias"] == "classifier_biases"


def test_a_classifier_that_is_not_to_be_found_is_told() -> None:
    net = nn.Module()
    with pytest.raises(InputError, match="nothing called 'classifier' or 'fc'"):
        TSMGroups()(net)
    with pytest.raises(InputError, match="nothing called 'top'"):
        TSMGroups("top")(net)
    net.fc, net.net = nn.Linear(2, 2), nn.Sequential()
    net.net.fc = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"several: \['fc', 'net.fc'\]"):
        TSMGroups()(net)
    found = names(net, TSMGroups("net.fc")(net))
    assert found["fc.weight"] == "weights"
    assert found["net.fc.weight"] == "classifier_weights"


def test_frozen_parameters_are_left_out() -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "fc": nn.Linear(2, 2)})
    net["a"].requires_grad_(False)
    assert [group.name for group in TSMGroups()(net)] == ["classifier_weights", "classifier_biases"]


def test_a_weight_that_two_modules_share_is_in_one_group() -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "fc": nn.Linear(2, 2)})
    net["b"].weight = net["fc"].weight = net["a"].weight
    found = names(net, TSMGroups()(net))
    assert found["a.weight"] == "classifier_weights"
    build(net, sgd, TSMGroups())


def test_rate_and_decay_are_multiplied() -> None:
    net = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 1), "norm": nn.BatchNorm2d(2)})
    net["fc"] = nn.Linear(2, 2)
    made = build(net, sgd, TSMGroups()).param_groups
    assert [entry["name"] for entry in made] == [group.name for group in TSMGroups()(net)]
    assert [entry["lr"] for entry in made] == pytest.approx([0.1, 0.2, 0.1, 0.5, 1.0])
    assert [entry["weight_decay"] for entry in made] == [0.01, 0, 0, 0.01, 0]
    assert {entry["momentum"] for entry in made} == {0.9}


def test_one_group_reaches_the_optimiser_as_plain_parameters() -> None:
    net = nn.Linear(2, 2)
    given = []
    build(net, lambda parameters: given.extend(parameters) or torch.optim.SGD(given, lr=0.1))
    assert [id(p) for p in given] == [id(p) for p in net.parameters()]


@pytest.mark.parametrize(
    ("groups", "fault"),
    [
        (lambda net: [Group("a", [net.weight])], r"in none: \['bias'\]"),
        (lambda net: [Group("a", [*net.parameters()]), Group("b", [net.bias])], "in several"),
        (
            lambda net: [Group("a", [*net.parameters(), nn.Parameter(torch.ones(1))])],
            "of another module",
        ),
    ],
)
def test_groups_of_a_users_own_must_hold_each_parameter_once(groups, fault: str) -> None:
    with pytest.raises(InputError, match=f"groups: expected each parameter.*{fault}"):
        build(nn.Linear(2, 2), sgd, groups)


def test_parameters_may_come_from_a_generator() -> None:
    net = nn.Linear(2, 2)
    made = build(net, sgd, lambda net: [Group("all", net.parameters(), rate=2.0)])
    assert [id(p) for p in made.param_groups[0]["params"]] == [id(p) for p in net.parameters()]
    made = build(net, sgd, lambda net: [Group("all", net.parameters())])
    assert len(made.param_groups[0]["params"]) == 2


def test_a_rate_that_is_a_tensor_is_multiplied_for_each_group_alone() -> None:
    net = nn.Linear(2, 2)
    rate = torch.tensor(0.1)

    def groups(net: nn.Module) -> list[Group]:
        return [Group("a", [net.weight], rate=3.0), Group("b", [net.bias], rate=5.0)]

    made = build(net, lambda p: torch.optim.Adam(p, lr=rate, capturable=False), groups)
    assert [float(e["lr"]) for e in made.param_groups] == pytest.approx([0.3, 0.5])
    assert float(rate) == pytest.approx(0.1)


class Renamed(torch.optim.SGD):
    """An optimiser whose options have names of its own."""

    def __init__(self, parameters, name: str) -> None:
        super().__init__(parameters, lr=0.1, weight_decay=0.1)
        for entry in self.param_groups:
            entry["own"] = entry.pop(name)


@pytest.mark.parametrize(
    ("name", "group"),
    [("lr", {"rate": 2.0}), ("weight_decay", {"decay": 0.0})],
)
def test_an_optimiser_without_what_is_to_be_multiplied_is_told(name: str, group: dict) -> None:
    net = nn.Linear(2, 2)
    with pytest.raises(InputError, match=f"optimizer: expected .*option {name}.*, got Renamed"):
        build(net, lambda p: Renamed(p, name), lambda net: [Group("a", net.parameters(), **group)])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda net: [Group("a", net.parameters(), rate=0.0)], r"groups\[0\].rate: expected a num"),
        (lambda net: [Group("a", net.parameters(), rate=float("inf"))], r"groups\[0\].rate"),
        (lambda net: [Group("a", net.parameters(), decay=-1.0)], r"groups\[0\].decay: expected"),
        (lambda net: [Group("a", net.parameters(), decay=float("nan"))], r"groups\[0\].decay"),
        (lambda net: [{"params": net.parameters()}], r"groups\[0\]: expected a Group, got dict"),
    ],
)
def test_groups_that_are_none_are_told(groups, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(nn.Linear(2, 2), sgd, groups)


def test_frozen_parameters_in_a_group_and_frozen_models_are_told() -> None:
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    with pytest.raises(InputError, match=r"groups: .*, got frozen: \['bias'\]"):
        build(net, sgd, lambda net: [Group("a", net.parameters())])
    net.requires_grad_(False)
    with pytest.raises(InputError, match="model: expected parameters that learn, got frozen ones"):
        build(net, sgd)


def test_regions_learn_at_a_rate_of_their_own():
    module = ClassificationModule(recipes.dyreg_small())
    regions = {id(p) for p in module.model.net.nodes.parameters()}
    made = build(module, sgd, RegionGroups(rate=0.1, decay=0.5))
    rest, own = made.param_groups
    assert {id(p) for p in own["params"]} == regions
    assert len(rest["params"]) + len(own["params"]) == len(list(module.parameters()))
    assert own["lr"] == pytest.approx(0.01)
    assert own["weight_decay"] == pytest.approx(0.005)
    assert (rest["lr"], rest["weight_decay"]) == (0.1, 0.01)
    in_a_cnn = build(recipes.residual_small(), sgd, RegionGroups(rate=3.0))
    assert [entry["lr"] for entry in in_a_cnn.param_groups] == pytest.approx([0.1, 0.3])
    for model in (recipes.frames_small(), recipes.dyreg_small(nodes=recipes.small_grid())):
        with pytest.raises(InputError, match="model: expected one whose regions learn"):
            build(model, sgd, RegionGroups(rate=0.1))
