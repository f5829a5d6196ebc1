from __future__ import annotations

import hashlib
import http.client
import io
import urllib.request
from pathlib import Path

import pytest
import torch
from torch import nn

from stgraph import recipes
from stgraph.backbones import inflate, resnet18, resnet50
from stgraph.checks import InputError
from stgraph.weights import imagenet, imagenet_weights, load_imagenet


def weights(make=resnet18, num_classes: int = 1000) -> dict[str, torch.Tensor]:
    """As large as real ones by their shapes, and small in a file."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in make(num_classes).state_dict().items()}
    return {name: torch.rand(()).expand(shape) for name, shape in shapes.items()}


def saved(what: object, folder: Path) -> Path:
    torch.save(what, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for torchvision's address, with a ResNet-18; the cache is elsewhere."""
    folder = tmp_path / "public"
    folder.mkdir()
    file = saved(weights(), folder)
    name = f"resnet18-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth"
    monkeypatch.setattr(imagenet, "ADDRESS", folder.as_uri() + "/")
    monkeypatch.setitem(imagenet.FILES, "resnet18", name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return file.rename(folder / name)


def cached(published: Path) -> Path:
    return published.parents[1] / "home/hub/checkpoints" / published.name


def test_a_state_dict_comes_back_from_a_file(tmp_path):
    given = weights()
    state = imagenet_weights("resnet18", saved(given, tmp_path))
    assert list(state) == list(given)
    assert all(torch.equal(state[name], given[name]) for name in given)


def test_files_of_other_classes_and_without_counters_will_do(tmp_path):
    given = {n: v for n, v in weights(num_classes=7).items() if "num_batches" not in n}
    state = imagenet_weights("resnet18", str(saved(given, tmp_path)))
    report = load_imagenet(resnet18(7), state)
    assert set(report.used) == set(given)
    assert all(name.endswith("num_batches_tracked") for name in report.missing)


def test_a_download_is_cached(published):
    first = imagenet_weights("resnet18")
    assert cached(published).is_file()
    published.unlink()
    again = imagenet_weights("resnet18")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_file_that_is_taken_out_of_the_cache_is_fetched_again(published):
    first = imagenet_weights("resnet18")
    cached(published).unlink()
    again = imagenet_weights("resnet18")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_download_has_a_largest_size(published, monkeypatch):
    size = published.stat().st_size
    monkeypatch.setattr(imagenet, "_LARGEST", size - 1)
    with pytest.raises(OSError, match=rf"could not download .*: more than {size - 1} bytes"):
        imagenet_weights("resnet18")
    assert not list(cached(published).parent.iterdir())
    monkeypatch.setattr(imagenet, "_LARGEST", size)
    assert imagenet_weights("resnet18")


def test_a_download_that_is_cut_off_is_told(published, monkeypatch):
    class CutOff(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise http.client.IncompleteRead(b"half", 10)

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: CutOff())
    with pytest.raises(OSError, match=r"could not download file:.*IncompleteRead"):
        imagenet_weights("resnet18")
    assert not list(cached(published).parent.iterdir())


def test_a_download_of_another_file_is_refused(published):
    published.write_bytes(published.read_bytes() + b"?")
    with pytest.raises(OSError, match=r"could not download file:.*invalid hash value.*\n.*`path`"):
        imagenet_weights("resnet18")
    assert not cached(published).exists()


def test_a_download_that_fails_says_where_it_came_from(published):
    published.unlink()
    with pytest.raises(OSError, match=rf"could not download file:.*{published.name} to .*No such"):
        imagenet_weights("resnet18")


def test_a_spoilt_file_in_the_cache_is_refused(published):
    imagenet_weights("resnet18")
    cached(published).write_bytes(b"spoilt")
    with pytest.raises(OSError, match=r"expected a SHA-256 of .*…, got .*; delete it"):
        imagenet_weights("resnet18")


class Anything:
    """What must not be made by reading a file."""


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: file.write_bytes(b"<html>"), "path: expected a file that torch.save wrote"),
        (lambda file: file.write_bytes(b""), "path: expected a file that torch.save wrote"),
        (lambda file: torch.save(Anything(), file), "path: expected a file that torch.save wrote"),
        (
            lambda file: torch.save([1], file),
            "path: expected a state dict of a resnet18, got .*list",
        ),
        (
            lambda file: torch.save({"state_dict": weights()}, file),
            r"path: expected a state dict of a resnet18, with conv1.weight .* with none",
        ),
        (
            lambda file: torch.save(weights(resnet50), file),
            r"with layer1.0.conv1.weight \[64, 64, 3, 3\], got .* with \[64, 64, 1, 1\]",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, write, message):
    file = tmp_path / "file.pth"
    write(file)
    with pytest.raises(InputError, match=message):
        imagenet_weights("resnet18", file)


def test_a_file_that_is_not_there_and_a_name_that_is_not_known_are_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"path: expected a file .*none\.pth, which does not exist"
    ):
        imagenet_weights("resnet18", tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"name: expected one of 'resnet18', .*, got 'resnet101'"):
        imagenet_weights("resnet101")


def test_a_classifier_of_other_classes_keeps_its_values():
    source, net = resnet18(), resnet18(5)
    before = net.fc.weight.clone()
    report = load_imagenet(net, source.state_dict())
    assert report.skipped == report.missing == ("fc.weight", "fc.bias")
    assert torch.equal(net.fc.weight, before)
    assert torch.equal(net.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert not load_imagenet(resnet18(), source.state_dict()).skipped


def test_a_grey_frame_is_seen_as_three_equal_channels():
    source = resnet18(stages=1).double().eval()
    net = resnet18(in_channels=1, stages=1).double().eval()
    assert not load_imagenet(net, source.state_dict()).missing
    images = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(images), source(images.expand(-1, 3, -1, -1)))


def test_fewer_stages_take_what_they_have():
    source, net = resnet18(), resnet18(56, 1, stages=3)
    report = load_imagenet(net, source.state_dict())
    assert report.missing == ("fc.weight", "fc.bias")
    assert {name.partition(".")[0] for name in report.skipped} == {"layer4", "fc"}
    assert torch.equal(net.layer3[1].conv2.weight, source.layer3[1].conv2.weight)


def test_a_recipe_takes_them_beside_its_graphs():
    model = recipes.dyreg_multi_sync_mnist()
    state = weights()
    report = load_imagenet(model.net, state)
    assert torch.equal(model.net.layer2[1].conv2.weight, state["layer2.1.conv2.weight"])
    assert {name.split(".")[0] for name in report.missing} == {"fc", "graph_blocks"}
    model = recipes.rstg_to_map(5, ("layer1.1",), width=8)
    state = weights(resnet50)
    report = load_imagenet(model.net, inflate(state, model.net))
    assert torch.equal(model.net.layer4[2].conv1.weight[:, :, 0], state["layer4.2.conv1.weight"])
    assert {name.split(".")[0] for name in report.missing} == {"fc", "graph_blocks"}


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"state\['conv1.weight'\]: expected \[64, 2, 7, 7\], got"):
        load_imagenet(resnet18(in_channels=2), weights())
    with pytest.raises(InputError, match=r"state\['layer1.0.conv1.weight'\]: expected"):
        load_imagenet(resnet50(stages=1), weights())
    with pytest.raises(InputError, match=r"state: expected 2 more names \(weight, bias\)"):
        load_imagenet(nn.Linear(1, 1), weights())


def test_a_classifier_is_as_good_as_the_net_in_it():
    from stgraph.recipes import resnet18_multi_sync_mnist

    weights = resnet18(num_classes=3).state_dict()
    model = resnet18_multi_sync_mnist()
    assert load_imagenet(model, weights) == load_imagenet(model.net, weights)
    assert torch.equal(model.net.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])
