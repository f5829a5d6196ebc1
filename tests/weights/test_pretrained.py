from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file
from torch import nn
from trained_models import answer, trained

from stgraph import recipes
from stgraph.backbones import FixedStatsBatchNorm3d, c2d_resnet50, c2d_resnet50_official
from stgraph.checks import InputError
from stgraph.edges import FullEdges, GridEdges
from stgraph.nodes import GridNodes, SmallGenerator, grid_anchors
from stgraph.weights import from_pretrained, save_pretrained

R4 = ("layer3.4.conv2",)
VIDEO = (1, 2, 3, 48, 48)
MODELS = {
    "rstg_sync_mnist": (lambda: recipes.rstg_sync_mnist(4, channels=8), (1, 2, 1, 64, 64)),
    "mean_lstm": (lambda: recipes.mean_lstm(4, channels=8), (1, 2, 1, 64, 64)),
    "conv_lstm": (lambda: recipes.conv_lstm(4, channels=8), (1, 2, 1, 64, 64)),
    "i3d_sync_mnist": (lambda: recipes.i3d_sync_mnist(4), (1, 2, 1, 32, 32)),
    "non_local_sync_mnist": (lambda: recipes.non_local_sync_mnist(4), (1, 2, 1, 32, 32)),
    "resnet18_multi_sync_mnist": (
        lambda: recipes.resnet18_multi_sync_mnist(4, in_channels=3),
        (1, 2, 3, 32, 32),
    ),
    "dyreg_multi_sync_mnist": (
        lambda: recipes.dyreg_multi_sync_mnist(4, nodes=recipes.dyreg_regions(16, 4)),
        (1, 2, 1, 128, 128),
    ),
    "dyreg_small": (
        lambda: recipes.dyreg_small(4, recipes.small_regions(num_nodes=4), rounds=2),
        (2, 2, 1, 32, 32),
    ),
    "dyreg_small, grid": (
        lambda: recipes.dyreg_small(4, recipes.small_grid(scales=(2, 1))),
        (2, 2, 1, 32, 32),
    ),
    "tsm_resnet50": (lambda: recipes.tsm_resnet50(4, online=True), (1, 2, 3, 32, 32)),
    "dyreg_tsm_resnet18": (
        lambda: recipes.dyreg_tsm_resnet18(
            4, ("layer2.1",), num_nodes=4, rounds=1, online=True, frame_size=64
        ),
        (1, 2, 3, 64, 64),
    ),
    "dyreg_tsm_resnet50": (
        lambda: recipes.dyreg_tsm_resnet50(
            4,
            R4,
            SmallGenerator,
            num_nodes=4,
            rounds=1,
            anchors=grid_anchors,
            online=True,
            frame_size=64,
        ),
        (1, 2, 3, 64, 64),
    ),
    "c2d": (lambda: recipes.c2d(4), (1, 2, 3, 32, 32)),
    "i3d": (lambda: recipes.i3d(4), (1, 2, 3, 32, 32)),
    "non_local_i3d": (lambda: recipes.non_local_i3d(4), (1, 2, 3, 32, 32)),
    "rstg_to_map": (
        lambda: recipes.rstg_to_map(4, ("layer1.1",), c2d_resnet50, 8, (2, 1)),
        (1, 2, 3, 32, 32),
    ),
    "rstg_to_vec": (lambda: recipes.rstg_to_vec(4, c2d_resnet50, width=8), (1, 2, 3, 32, 32)),
    "rstg_sync_mnist, edges": (
        lambda: recipes.rstg_sync_mnist(4, channels=8, edges=FullEdges(loops=False)),
        (1, 2, 1, 64, 64),
    ),
    "rstg_sync_mnist_official": (
        lambda: recipes.rstg_sync_mnist_official(
            4, channels=8, edges=GridEdges((3, 2, 1), (50, 60)), positions=8, heads=2
        ),
        (1, 2, 1, 64, 64),
    ),
    "c2d, norm": (
        lambda: recipes.c2d(4, norm=FixedStatsBatchNorm3d, pool_padding=0, window=2),
        (1, 2, 3, 64, 64),
    ),
    "c2d_official": (lambda: recipes.c2d_official(4), (1, 2, 3, 32, 32)),
    "i3d_official": (lambda: recipes.i3d_official(4, dropout=0.1), (1, 2, 3, 32, 32)),
    "non_local_official": (lambda: recipes.non_local_official(4), (1, 2, 3, 32, 32)),
    "rstg_to_map_official": (
        lambda: recipes.rstg_to_map_official(4, ("layer1.1",), c2d_resnet50_official, 8, (2, 1)),
        (1, 2, 3, 32, 32),
    ),
    "rstg_to_vec_official": (
        lambda: recipes.rstg_to_vec_official(4, width=8, edges=FullEdges()),
        (1, 2, 3, 32, 32),
    ),
    "rstg_to_vec_serial_official": (
        lambda: recipes.rstg_to_vec_serial_official(4, width=8),
        (1, 2, 3, 32, 32),
    ),
    "rstg_block_official": (lambda: recipes.rstg_block_official(6, width=8), (1, 2, 6, 5, 5)),
    "rstg_stage_official": (lambda: recipes.rstg_stage_official(6, width=8), (1, 2, 6, 5, 5)),
    "rstg_block": (lambda: recipes.rstg_block(6, width=8), (1, 2, 6, 5, 5)),
    "dyreg_block": (
        lambda: recipes.dyreg_block(recipes.small_grid(8), 6, map_size=8),
        (1, 2, 6, 8, 8),
    ),
    "dyreg_regions": (
        lambda: recipes.dyreg_regions(6, 4, 8, anchors=grid_anchors),
        (1, 2, 6, 8, 8),
    ),
    "small_regions": (lambda: recipes.small_regions(6, 4), (1, 2, 6, 8, 8)),
    "small_video": (lambda: recipes.small_video(4, recipes.following_regions(32, 4)), VIDEO),
    "small_video, still": (lambda: recipes.small_video(4, recipes.still_regions(32, 4)), VIDEO),
    "following_regions": (lambda: recipes.following_regions(6, 4), (1, 2, 6, 8, 8)),
    "still_regions": (lambda: recipes.still_regions(6, 4), (1, 2, 6, 8, 8)),
    "small_grid": (lambda: recipes.small_grid(6), (1, 2, 6, 8, 8)),
    "small_followers": (lambda: recipes.small_followers(6, 4), (1, 2, 6, 8, 8)),
    "frames_small": (lambda: recipes.frames_small(4), (1, 2, 1, 48, 48)),
    "residual_small": (lambda: recipes.residual_small(4), (1, 2, 1, 48, 48)),
    "motion_classes": (lambda: recipes.motion_classes(4, 3, width=16), (1, 2, 1, 32, 32)),
    "motion_small": (lambda: recipes.motion_small(4), (1, 2, 1, 32, 32)),
    "motion_subsets": (lambda: recipes.motion_subsets(4, 4, width=16), (1, 2, 1, 32, 32)),
}


def test_no_recipe_is_forgotten():
    assert set(recipes.__all__) == {name.split(",")[0] for name in MODELS}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_recipe_comes_back_as_it_was(name, tmp_path):
    make, sizes = MODELS[name]
    model, x = trained(make()), torch.rand(sizes)
    assert save_pretrained(model, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    again = from_pretrained(str(tmp_path / "a" / "b"))
    assert not any(module.training for module in again.modules())
    assert again.recipe == model.recipe
    given = answer(model, x)
    assert given.isfinite().all()
    assert torch.equal(answer(again, x), given)
    mine, theirs = model.state_dict(), again.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_pretrained(trained(recipes.dyreg_small(3)), tmp_path / "model")


def change(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_the_files_are_those_of_a_hub(folder: Path):
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert json.loads((folder / "config.json").read_text()) == {
        "library": "stgraph",
        "version": __import__("stgraph").__version__,
        "format": 1,
        "model": "GraphClassifier",
        "recipe": "dyreg_small",
        "arguments": {"num_classes": 3, "nodes": None, "rounds": 1},
    }
    model = recipes.dyreg_small(3)
    assert set(load_file(folder / "model.safetensors")) == set(model.state_dict())
    assert load_model(model, folder / "model.safetensors") == (set(), [])


def test_a_configuration_is_for_people_to_read(tmp_path: Path):
    class Größe(nn.Linear):
        pass

    text = (save_pretrained(Größe(1, 1), tmp_path) / "config.json").read_text("utf-8")
    assert '\n  "model": "Größe",\n' in text
    assert text.endswith("\n}\n")
    model = nn.Linear(1, 1)
    model.recipe = recipes.recorded.Recipe("dyreg_small", {"rounds": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_pretrained(model, tmp_path)
    assert (tmp_path / "config.json").read_text("utf-8") == text


def test_a_configuration_needs_format_recipe_and_arguments_alone(folder: Path):
    file = folder / "config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({name: told[name] for name in ("format", "recipe", "arguments")}))
    weights = folder / "model.safetensors"
    save_file(load_file(weights), weights)  # without a word about the configuration
    assert from_pretrained(folder).recipe is not None


def test_nested_recipes_and_functions_stand_in_the_configuration(tmp_path: Path):
    with torch.device("meta"):
        nodes = recipes.dyreg_regions(8, 4, anchors=grid_anchors)
    model = nn.Linear(1, 1)
    model.recipe = recipes.recorded.Recipe("dyreg_small", {"nodes": nodes.recipe})
    config = json.loads((save_pretrained(model, tmp_path) / "config.json").read_text())
    assert config["arguments"]["nodes"] == {
        "$recipe": "dyreg_regions",
        "arguments": {
            "width": 8,
            "num_nodes": 4,
            "map_size": 16,
            "anchors": {"$function": "stgraph.nodes.grid_anchors"},
        },
    }


def test_saving_again_replaces_the_files(folder: Path):
    save_pretrained(recipes.dyreg_small(5), folder)
    assert from_pretrained(folder).num_classes == 5
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_what_stood_there_stays_when_saving_fails(folder: Path):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with torch.device("meta"):
        broken = recipes.dyreg_small(5)
    with pytest.raises(InputError, match=r"a dense tensor of numbers, got .* meta"):
        save_pretrained(broken, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_what_a_disk_refuses_is_told_as_python_tells_it(tmp_path: Path, monkeypatch):
    said = "Error while serializing: I/O error: a drawer is full (os error 28)"

    def full(*_, **__):
        raise SafetensorError(said)

    monkeypatch.setattr("stgraph.weights.pretrained.save_file", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as info:
        save_pretrained(recipes.motion_small(3), tmp_path / "model")
    assert info.value.errno == errno.ENOSPC
    said = "Error while serializing: another reason"
    with pytest.raises(SafetensorError, match="another reason"):
        save_pretrained(recipes.motion_small(3), tmp_path / "model")
    assert not list(tmp_path.rglob("*.safetensors*"))


def test_files_of_two_savings_are_told_apart(folder: Path, tmp_path: Path):
    """As they lie there when a second saving is killed between its two files."""
    other = save_pretrained(recipes.dyreg_small(4, recipes.small_grid(), rounds=3), tmp_path / "b")
    one = save_pretrained(recipes.dyreg_small(4, recipes.small_grid(), rounds=1), tmp_path / "a")
    (other / "model.safetensors").replace(one / "model.safetensors")  # of the same shapes
    with pytest.raises(InputError, match=r"config\.json: expected the one that the weights were"):
        from_pretrained(one)
    modes = {file.stat().st_mode for file in folder.iterdir()}
    assert len(modes) == 1


def test_a_saving_that_is_killed_leaves_the_old_model_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of 1 and of 3 rounds, which have weights of the same shapes; killed before each renaming."""
    old, new = (recipes.dyreg_small(4, recipes.small_grid(), rounds=n) for n in (1, 3))
    found = []
    for renamings in range(3):
        folder = save_pretrained(old, tmp_path / str(renamings))
        left = [Path.replace] * renamings

        def replace(source, target, left=left):
            if not left:
                raise KeyboardInterrupt
            return left.pop()(source, target)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(Path, "replace", replace)
            save_pretrained(new, folder)
        again = from_pretrained(folder)
        found.append(again.recipe.arguments["rounds"])
        expected = {1: old, 3: new}[found[-1]].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    assert found == [1, 3, 3]


def own() -> nn.Module:
    return recipes.dyreg_small(3, nodes=GridNodes(32, (2,), edges=FullEdges()))


def test_a_part_of_ones_own_asks_for_the_function(tmp_path: Path):
    model = trained(own())
    save_pretrained(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["arguments"]["nodes"] == {"$unwritten": "stgraph.nodes.grid.GridNodes"}
    with pytest.raises(InputError, match=r"build: expected .* the argument 'nodes' of dyreg_small"):
        from_pretrained(tmp_path)
    x = torch.rand(1, 2, 1, 32, 32)
    assert torch.equal(answer(from_pretrained(tmp_path, build=own), x), answer(model, x))


BAD = {
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "a configuration in JSON"),
    "no object": (lambda f: (f / "config.json").write_text("[1]"), "`save_pretrained` wrote"),
    "other": (lambda f: (f / "config.json").write_text("{}"), "`save_pretrained` wrote"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 10**5), "configuration in JSON"),
    "bytes": (lambda f: (f / "config.json").write_bytes(b"\xff"), "a configuration in JSON"),
    "no config": (lambda f: (f / "config.json").unlink(), r"a folder with config\.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"with model\.safetensors"),
    "later": (lambda f: change(f, format=2), "configuration of format 1, got .* of format 2, by"),
    "earlier": (lambda f: change(f, format=0), "configuration of format 1, got .* of format 0, by"),
    "a flag": (lambda f: change(f, format=True), "format 1, got .* of format True, by"),
    "unknown": (lambda f: change(f, recipe="os.system"), "a recipe among .*got 'os.system'"),
    "private": (lambda f: change(f, recipe="__doc__"), "a recipe among"),
    "list": (lambda f: change(f, recipe=["dyreg_small"]), "a recipe among"),
    "no arguments": (lambda f: change(f, arguments=[]), "arguments of dyreg_small, got list"),
    "strange": (lambda f: change(f, arguments={"a": 1}), r"arguments that .* has, got \['a'\]"),
    "wrong": (lambda f: change(f, arguments={"rounds": "x"}), "rounds: expected a whole number"),
    "type": (lambda f: change(f, arguments={"nodes": 3}), "arguments that dyreg_small takes"),
    "long": (
        lambda f: change(f, arguments={"nodes": "x" * 1000}),
        r"arguments that dyreg_small takes, got \{'nodes': 'x{189} \(",  # 200 characters
    ),
    "function": (
        lambda f: change(f, arguments={"nodes": {"$function": "os.system"}}),
        "functions among .*got 'os.system'",
    ),
    "part": (
        lambda f: change(f, arguments={"nodes": {"$part": "os.system"}}),
        "parts among .*got 'os.system'",
    ),
    "of a part": (
        lambda f: change(
            f, arguments={"nodes": {"$part": "stgraph.edges.FullEdges", "arguments": {"a": 1}}}
        ),
        r"arguments that stgraph.edges.FullEdges has, got \['a'\]",
    ),
    "unhashable": (
        lambda f: change(f, arguments={"nodes": {"$function": ["os.system"]}}),
        "functions among",
    ),
    "nested": (
        lambda f: change(f, arguments={"nodes": {"$recipe": "exec", "arguments": {}}}),
        "a recipe among .*got 'exec'",
    ),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-10]
        ),
        r"weights in model\.safetensors",
    ),
    "shapes": (
        lambda f: change(f, arguments={"num_classes": 4}),
        r"of this GraphClassifier, got those of another model .*classifier\.weight.*\[4, 32\]",
    ),
    "names": (
        lambda f: change(f, recipe="mean_lstm", arguments={"channels": 8}),
        r"of this RecurrentClassifier, got .*\[('[\w.]+', ){3}'[\w.]+'\], \d+ in all",
    ),
    "huge": (lambda f: change(f, arguments={"num_classes": 10**9}), "those of another model"),
    "endless": (
        lambda f: change(f, arguments={"rounds": 10**9}),
        "rounds: expected a whole number of at most 1000, got 1000000000",
    ),
    "huge digits": (
        lambda f: (f / "config.json").write_text('{"format": ' + "1" * 5000 + "}"),
        r"config\.json, which does not load \(a number of 5000 digits\)",
    ),
    "not a number": (
        lambda f: (f / "config.json").write_text('{"format": NaN}'),
        "NaN, which is no number of JSON",
    ),
    "huge part": (
        lambda f: change(
            f,
            arguments={"nodes": {"$recipe": "small_grid", "arguments": {"scales": [10**5]}}},
        ),
        "scales: expected",
    ),
    "more names": (
        lambda f: change(f, recipe="small_regions", arguments={}),
        "of this DynamicRegions, got those of another model",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_a_folder_that_is_not_as_it_was_is_refused(folder: Path, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        from_pretrained(folder)


def test_missing_weights_are_named(tmp_path: Path):
    save_pretrained(nn.Linear(2, 2, bias=False), tmp_path)
    with pytest.raises(InputError, match=r"of this Linear, got .* more names \(bias\)"):
        from_pretrained(tmp_path, build=lambda: nn.Linear(2, 2))


def test_places_without_a_model_are_refused(tmp_path: Path, monkeypatch):
    with pytest.raises(InputError, match="source: expected a folder, or owner/name on the hub"):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(InputError, match="expected a folder, or owner/name on the hub"):
        from_pretrained("../nothing")
    with pytest.raises(InputError, match="revision: expected None for a folder, got 'main'"):
        from_pretrained(tmp_path, revision="main")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install huggingface_hub.*got 'someone/something'"):
        from_pretrained("someone/something")


def test_a_name_on_the_hub_is_fetched(folder: Path, monkeypatch):
    asked = []

    def hf_hub_download(repo_id: str, filename: str, *, revision: str | None = None) -> str:
        asked.append((repo_id, filename, revision))
        return str(folder / filename)

    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download = hf_hub_download
    hub.__spec__ = importlib.util.spec_from_loader("huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert from_pretrained("someone/some.thing-2", revision="v1").num_classes == 3
    assert asked == [
        ("someone/some.thing-2", "config.json", "v1"),
        ("someone/some.thing-2", "model.safetensors", "v1"),
    ]

    for kind in (OSError, ValueError):

        def missing(repo_id: str, filename: str, *, revision: str | None = None, kind=kind) -> str:
            raise kind(f"404: there is no {repo_id}")

        hub.hf_hub_download = missing
        came = rf"of someone/else on the hub, got {kind.__name__}: 404"
        with pytest.raises(InputError, match=came):
            from_pretrained("someone/else")
