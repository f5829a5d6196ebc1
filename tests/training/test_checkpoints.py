from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stgraph.checks import InputError
from stgraph.training import load_weights
from stgraph.training.checkpoints import check_keys, read


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_weights_come_back(tmp_path: Path) -> None:
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save({"state_dict": one.state_dict()}, tmp_path / "a.ckpt")
    load_weights(other, tmp_path / "a.ckpt")
    assert torch.equal(one.weight, other.weight)


def test_weights_alone_may_be_safetensors(tmp_path: Path) -> None:
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    save_file(one.state_dict(), tmp_path / "a.safetensors")
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(one.weight, other.weight)
    (tmp_path / "b.safetensors").write_bytes(b"no such file")
    with pytest.raises(InputError, match=r"ckpt_path: expected a checkpoint.*b\.safetensors"):
        load_weights(other, tmp_path / "b.safetensors")


def test_all_differences_are_named() -> None:
    state = {"0.weight": torch.zeros(3, 5), "2.weight": torch.zeros(1)}
    with pytest.raises(InputError) as error:
        check_keys(nn.Sequential(nn.Linear(4, 3)), state)
    assert str(error.value) == (
        "checkpoint: expected the weights of this Sequential, got those of another model "
        "(missing: 0.bias; unexpected: 2.weight; other shapes: 0.weight [3, 5] for [3, 4])"
    )


def test_a_long_list_is_cut() -> None:
    with pytest.raises(InputError, match=r"missing: 0.weight, .* and 7 more\)"):
        check_keys(nn.Sequential(*[nn.Linear(1, 1) for _ in range(6)]), {})
    with pytest.raises(InputError, match=r"\(unexpected: 0, 1, 2, 3, 4\)$"):
        check_keys(nn.Sequential(), {str(number): torch.zeros(1) for number in range(5)})


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "more": Trap(tmp_path / "made")}, tmp_path / "bad.ckpt")
    with pytest.raises(InputError, match=r"bad.ckpt, which does not load"):
        read(tmp_path / "bad.ckpt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not load"),
        (b"not a checkpoint", "does not load"),
        (pickle.dumps({"state_dict": {}}, protocol=2), "does not load"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_truncated_checkpoint_is_told_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.ckpt"
    torch.save({"state_dict": nn.Linear(600, 9).state_dict()}, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 371):  # some fail as files that cannot be read
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="does not load"):
            read(path)


def test_bare_weights_are_told(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "bare.ckpt")
    with pytest.raises(InputError, match="has no state_dict"):
        read(tmp_path / "bare.ckpt")
