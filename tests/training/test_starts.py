from __future__ import annotations

import pytest
import torch

from stgraph import recipes
from stgraph.backbones import resnet18, resnet50
from stgraph.checks import InputError
from stgraph.model import GraphBlock
from stgraph.training import from_imagenet, from_official, initialised, opened


def test_a_model_starts_from_images(tmp_path):
    weights = resnet18(num_classes=7).state_dict()
    torch.save(weights, tmp_path / "images.pth")
    model = recipes.dyreg_multi_sync_mnist()
    before = model.net.graph_blocks["layer2"].norm.bias.clone()
    assert from_imagenet(model, "resnet18", tmp_path / "images.pth") is model
    assert torch.equal(model.net.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])
    assert torch.equal(model.net.graph_blocks["layer2"].norm.bias, before)
    with pytest.raises(InputError, match="path: expected"):
        from_imagenet(model, "resnet50", tmp_path / "images.pth")


def test_a_network_without_a_classifier_around_it_starts_from_images(tmp_path):
    weights = resnet18(num_classes=7).state_dict()
    torch.save(weights, tmp_path / "images.pth")
    net = from_imagenet(resnet18(num_classes=3), "resnet18", tmp_path / "images.pth")
    assert torch.equal(net.layer4[1].conv2.weight, weights["layer4.1.conv2.weight"])


def test_a_model_of_clips_starts_from_images(tmp_path):
    weights = resnet50(num_classes=7).state_dict()
    torch.save(weights, tmp_path / "images.pth")
    model = from_imagenet(recipes.rstg_to_vec(5, width=8), "resnet50", tmp_path / "images.pth")
    conv = model.net.layer1[0].conv1.weight
    torch.testing.assert_close(conv.sum(2), weights["layer1.0.conv1.weight"])
    assert conv.size(2) == 3


def test_a_model_starts_from_an_official_file(tmp_path):
    trained = recipes.resnet18_multi_sync_mnist(num_classes=9)
    state = {f"module.base_model.{k}": v for k, v in trained.net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "official.pth.tar")
    model = from_official(recipes.dyreg_multi_sync_mnist(), tmp_path / "official.pth.tar")
    assert torch.equal(model.net.layer2[1].bn2.weight, trained.net.layer2[1].bn2.weight)
    with pytest.raises(
        InputError, match=r"source: expected a checkpoint .*none\.pth\.tar, which does not exist"
    ):
        from_official(model, tmp_path / "none.pth.tar")


@pytest.mark.parametrize(("how", "spread"), [("glorot", 0.125), ("pytorch", 0.072)])
def test_a_model_starts_as_a_configuration_says(how, spread):
    model = recipes.rstg_sync_mnist(channels=64)
    assert initialised(model, how) is model
    assert model.recipe.name == "rstg_sync_mnist"
    cell = model.net.layers["time"].cell
    assert cell.weight_hh_l0.std().item() == pytest.approx(spread, rel=0.05)
    with pytest.raises(InputError, match="how: expected one of 'glorot', 'he', 'pytorch', got 'x'"):
        initialised(model, "x")


def test_blocks_may_begin_with_their_residuals():
    torch.manual_seed(0)
    model, video = recipes.residual_small(5).eval(), torch.rand(2, 3, 1, 48, 48)
    with torch.no_grad():
        identity = model(video).logits
        assert opened(model, 0.5) is model
        block = model.net.graph_blocks["features"]
        assert bool((block.norm.weight == 0.5).all())
        assert (model(video).logits - identity).abs().max() > 1e-3
        opened(model, 0.0)
        assert torch.equal(model(video).logits, identity)
    with pytest.raises(InputError, match="model: expected one with graph blocks"):
        opened(recipes.frames_small())


def test_all_blocks_of_a_cnn_are_opened():
    with torch.device("meta"):
        model = recipes.dyreg_tsm_resnet50(5)
    parts = opened(model.to_empty(device="cpu"), 0.25).modules()
    blocks = [part for part in parts if isinstance(part, GraphBlock)]
    assert len(blocks) == 3
    assert all(bool(block.norm.weight.eq(0.25).all()) for block in blocks)
