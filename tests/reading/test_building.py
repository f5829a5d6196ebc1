from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from stgraph.checks import InputError
from stgraph.reading import building, memory, within_memory


def test_memory_is_that_of_a_machine() -> None:
    assert 1 << 28 < memory() < 1 << 50


def test_a_process_that_is_limited_has_no_more_memory_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 26, resource.RLIM_INFINITY))
    assert memory() == 1 << 26


@pytest.mark.parametrize("error", [AttributeError, OSError, ValueError])
def test_a_system_that_does_not_tell_has_some_memory(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def unknown(name: str) -> int:
        raise error(name)

    monkeypatch.setattr("os.sysconf", unknown, raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert memory() == 1 << 34


def test_one_tensor_has_two_gibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "memory", lambda: 1 << 40)
    with torch.device("meta"), within_memory("model"):
        torch.empty(2**31, dtype=torch.uint8)
        with pytest.raises(InputError, match="tensors of at most 2147483648 bytes, got 2147483649"):
            torch.empty(2**31 + 1, dtype=torch.uint8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(10**6, 10**6),
        lambda: nn.GRU(10**6, 10**6),
        lambda: nn.Linear(10**12, 10**12),  # whose size no number of the machine holds
        lambda: nn.Linear(10**30, 2),
        lambda: nn.Linear(-3, 2),
        lambda: nn.Parameter(torch.randn(10**5, 10**5)),
        lambda: torch.zeros(2).new_ones(10**5, 10**5),
        lambda: torch.ones(10**5).repeat(10**5),
        lambda: torch.arange(10**10),
        lambda: bytearray(10**18),
    ],
)
def test_what_does_not_fit_is_not_made(make) -> None:
    with pytest.raises(InputError, match="model: expected"), within_memory("model"):
        make()


def test_parts_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "memory", lambda: 2 * 10**6)
    with within_memory("model"):
        nn.ModuleList(nn.Linear(100, 100, bias=False) for _ in range(25))
    with (
        pytest.raises(InputError, match="at most 1000000 bytes, got 1040000, with one"),
        within_memory("model"),
    ):
        nn.ModuleList(nn.Linear(100, 100, bias=False) for _ in range(26))


def test_what_is_built_is_as_without() -> None:
    def net() -> nn.Module:
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 4), nn.BatchNorm1d(4))

    with within_memory("model"):
        one = net()
    state = net().state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
    with torch.device("meta"), within_memory("model"):
        assert net()[0].weight.is_meta


@pytest.mark.parametrize("error", [RuntimeError("other"), TypeError("other"), ValueError("other")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    with pytest.raises(type(error), match=r"^other$"), within_memory("model"):
        raise error
