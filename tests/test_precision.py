from __future__ import annotations

import pytest
import torch

from stgraph.precision import is_cast, precise, precise_type, uncast


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bool, torch.float32),
        (torch.int64, torch.float32),
    ],
)
def test_sums_are_made_in_single_precision_at_least(dtype, wanted):
    assert precise_type(dtype) == wanted
    values = torch.tensor([1, 0, 1]).to(dtype)
    torch.testing.assert_close(precise(values), torch.tensor([1, 0, 1], dtype=wanted))


def test_what_is_precise_stays_the_same_tensor():
    values = torch.ones(2, dtype=torch.float64)
    assert precise(values) is values


def test_autocast_is_seen_on_its_own_device_only():
    assert not is_cast(torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert is_cast(torch.device("cpu"))
        assert not is_cast(torch.device("cuda"))
        assert not is_cast(torch.device("meta"))


def test_products_within_are_as_precise_as_what_they_are_of():
    one, meta = torch.rand(3, 3), torch.rand(3, 3, device="meta")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (one @ one).dtype == torch.bfloat16
        with uncast(one.device):
            assert (one @ one).dtype == torch.float32
        with uncast(meta.device):
            assert (meta @ meta).dtype == torch.float32
