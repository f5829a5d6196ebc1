"""Whose part a variable is, by its name alone."""

from __future__ import annotations

import pytest

from stgraph.checks import InputError
from stgraph.weights.rstg.names import residual_tags, sort_names
from stgraph.weights.rstg.places import place_of_graph, places_of_non_local


def graphs(*scopes):
    return [f"{scope}/project_i3d/kernel" for scope in scopes]


def norms(*names):
    return [f"{name}{ending}" for name in names for ending in ("/beta", "_scale")]


@pytest.mark.parametrize(
    ("scopes", "tags", "pairs"),
    [
        (("g_x",), ("x_after_graph_ln",), {"g_x": "x"}),
        (("g_final",), ("after_graph_ln",), {"g_final": ""}),
        (("g_res3", "g_final"), ("after_graph_ln", "res3_after_graph_ln"), None),
        (("a/res3_2/g", "a/res4_4/g"), ("res4_after_graph_ln", "res3_after_graph_ln"), None),
        (("g",), ("other_after_graph_ln",), {"g": "other"}),
        (
            ("c2d/backbone/g_res5", "c2d/g_final"),
            ("c2d/after_graph_ln", "c2d/backbone/after_graph_ln"),
            {"c2d/backbone/g_res5": "c2d/backbone/", "c2d/g_final": "c2d/"},
        ),
        (("a", "b"), ("a/after_graph_ln", "b/after_graph_ln"), {"a": "a/", "b": "b/"}),
    ],
)
def test_norms_of_residuals_find_their_graphs(scopes, tags, pairs):
    found = residual_tags(sort_names(graphs(*scopes) + norms(*tags)))
    assert found.keys() == set(scopes)
    assert pairs is None or found == pairs
    if pairs is None:
        stage = {"res3": "res3", "res4": "res4", "": "final"}
        assert all(stage[tag] in scope for scope, tag in found.items())


def test_numbers_that_tensorflow_adds_go_in_order():
    names = [*graphs("a", "b"), "after_graph_ln/beta", "after_graph_ln_scale"]
    names += ["after_graph_ln_1/beta", "after_graph_ln_scale_1"]
    found = sort_names(names)
    assert residual_tags(found) == {"a": "", "b": "_1"}
    assert set(found.residuals["_1"]) == {"after_graph_ln/beta", "after_graph_ln_scale"}


def test_a_norm_without_a_graph_is_an_error():
    with pytest.raises(InputError, match="one graph for every residual's norm"):
        residual_tags(sort_names(graphs("a") + norms("x_after_graph_ln", "y_after_graph_ln")))


def test_a_scope_inside_a_graphs_is_the_graphs():
    names = [*graphs("g"), "g/head_0/my_attn/att_conv1/kernel", "g/cudnn_lstm/opaque_kernel"]
    found = sort_names([*names, "pred/bias"])
    assert found.graphs.keys() == {"g"}
    assert set(found.graphs["g"].values()) == set(names)
    assert found.head == {"pred/bias": "pred/bias"}


@pytest.mark.parametrize(
    ("scope", "told", "channels", "place"),
    [
        ("g_res2", {}, 0, ("layer1.1", "map")),
        ("g_res5", {}, 2048, ("layer4.1", "map")),
        ("g_final", {}, 2048, ("layer4", "vec")),
        ("g", {}, 1024, ("layer3.4", "map")),
        ("net/g", {"g": "final"}, 0, ("layer4", "vec")),
        ("g", {"g": "layer2.0"}, 0, ("layer2.0", "map")),
    ],
)
def test_places_of_graphs(scope, told, channels, place):
    assert place_of_graph(scope, told, channels) == place


def test_places_of_non_local_blocks():
    official = {"nl_a": 512, "nl_b": 512, "nl_c": 1024, "nl_d": 1024, "nl_e": 1024}
    places = ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]
    assert list(places_of_non_local(official, {}).values()) == places
    assert places_of_non_local({"b/nl_res4_2": 8}, {}) == {"b/nl_res4_2": "layer3.2"}
    with pytest.raises(InputError, match="places of the non-local blocks"):
        places_of_non_local({"nl": 512}, {})
    with pytest.raises(InputError, match="where the non-local block 'nl' is"):
        places_of_non_local({"nl": 6}, {})
