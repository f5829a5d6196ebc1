from __future__ import annotations

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.weights import Loaded, load_by_name


def net(classes: int = 3) -> nn.Module:
    parts = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    parts.add_module("fc", nn.Linear(4, classes))
    return parts


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_all_is_used_where_all_fits():
    source, target = net(), net()
    assert load_by_name(target, source.state_dict()) == Loaded(tuple(source.state_dict()), (), ())
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)


def test_what_is_optional_is_left_as_it_is():
    source, target = net(5), net(3)
    before = values(target)
    report = load_by_name(target, source.state_dict(), optional=["fc.*"])
    assert report.skipped == report.missing == ("fc.weight", "fc.bias")
    assert torch.equal(target.fc.weight, before["fc.weight"])
    assert torch.equal(target[0].weight, source[0].weight)


def test_more_than_the_net_has_is_skipped():
    state = {**net().state_dict(), "layer4.weight": torch.ones(2)}
    report = load_by_name(net(), state)
    assert report.skipped == ("layer4.weight",)
    assert not report.missing


def test_counters_of_norms_may_be_missing():
    state = values(net())
    del state["1.num_batches_tracked"]
    target = net()
    target[1].num_batches_tracked.fill_(7)
    assert load_by_name(target, state).missing == ("1.num_batches_tracked",)
    assert target[1].num_batches_tracked == 7


def test_values_take_the_type_of_the_net():
    target = net().double()
    load_by_name(target, net().half().state_dict())
    assert target.fc.weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": torch.ones(5, 4)}, r"state\['fc.weight'\]: expected \[3, 4\], got \[5, 4\]"),
        ({"fc.weight": "?"}, r"state\['fc.weight'\]: expected \[3, 4\], got str"),
        ({"fc.weight": None}, r"state: expected 1 more names \(fc.weight\), got none of them, but"),
    ],
)
def test_what_is_not_optional_must_fit_and_nothing_is_changed_before(change, message):
    target = net()
    before = values(target)
    with pytest.raises(InputError, match=message):
        load_by_name(target, {**net().state_dict(), **change}, optional=["fc.bias"])
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name])


def test_names_with_a_prefix_are_shown():
    state = {f"module.{name}": value for name, value in net().state_dict().items()}
    with pytest.raises(InputError, match=r"9 names \(module.0.weight, module.0.bias, .*…\)"):
        load_by_name(net(), state)


def test_one_pattern_is_not_taken_for_many():
    with pytest.raises(InputError, match="optional: expected a sequence"):
        load_by_name(net(), net().state_dict(), optional="fc.*")


def test_a_report_is_short():
    report = Loaded(("a",) * 300, tuple("bcdefg"), ())
    assert str(report) == "300 used, 6 skipped (b, c, d, e, …), 0 missing"


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 2, dtype=torch.complex64),
        torch.zeros(3, 2, dtype=torch.int64),
        torch.zeros(3, 2).to_sparse(),
        torch.zeros(3, 2, device="meta"),
    ],
    ids=["complex", "whole", "sparse", "meta"],
)
def test_values_that_are_no_weights_are_refused(wrong):
    net = nn.Linear(2, 3, bias=False)
    with pytest.raises(InputError, match=r"expected \[3, 2\], got \[3, 2\] \(torch"):
        load_by_name(net, {"weight": wrong})


@pytest.mark.parametrize("count", [1, 4, 5])
def test_a_report_names_four_at_most(count):
    told = {1: "a", 4: "a, b, c, d", 5: "a, b, c, d, …"}[count]
    report = Loaded((), tuple("abcde"[:count]), ())
    assert str(report) == f"0 used, {count} skipped ({told}), 0 missing"


@pytest.mark.parametrize(
    ("given", "mine", "fits"),
    [
        (torch.float64, torch.float32, True),
        (torch.complex64, torch.complex64, True),
        (torch.int64, torch.int64, True),
        (torch.float32, torch.complex64, False),
        (torch.int64, torch.complex64, False),
        (torch.complex64, torch.float32, False),
        (torch.complex64, torch.int64, False),
        (torch.int64, torch.float32, False),
    ],
)
def test_complex_numbers_are_for_complex_ones_and_whole_ones_for_whole_ones(given, mine, fits):
    net = nn.Module()
    net.register_buffer("a", torch.zeros(2, dtype=mine))
    if not fits:
        with pytest.raises(InputError, match=r"state\['a'\]: expected \[2\], got \[2\] \(torch"):
            load_by_name(net, {"a": torch.ones(2, dtype=given)})
        return
    load_by_name(net, {"a": torch.ones(2, dtype=given)})
    assert torch.equal(net.a, torch.ones(2, dtype=mine))
