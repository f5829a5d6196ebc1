"""Whose part a variable is, by its name alone."""

from __future__ import annotations

from itertools import permutations

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


def test_of_two_scopes_the_inner_one_has_what_is_in_it():
    parts = ("project_i3d/kernel", "cudnn_lstm/kernel")
    found = sort_names([f"{head}{name}" for name in parts for head in ("", "g/")])
    assert found.graphs == {
        "": {name: name for name in parts},
        "g": {name: f"g/{name}" for name in parts},
    }


def test_scopes_in_scopes_are_one_graph_in_any_order():
    names = [*graphs("g"), "g/a/my_attn/att_conv1/kernel", "g/a/b/my_attn/att_conv2/kernel"]
    for order in permutations(names):
        found = sort_names(order)
        assert found.graphs == {"g": {name.removeprefix("g/"): name for name in names}}


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
        ("g", {}, 256, ("layer1.1", "map")),
        ("g", {}, 512, ("layer2.2", "map")),
        ("g", {}, 1024, ("layer3.4", "map")),
        ("res2/g_res4", {}, 0, ("layer3.4", "map")),
        ("g_final", {"g_final": "res3"}, 0, ("layer2.2", "map")),
        ("net/g", {"g": "final"}, 0, ("layer4", "vec")),
        ("g", {"g": "layer2.0"}, 0, ("layer2.0", "map")),
    ],
)
def test_places_of_graphs(scope, told, channels, place):
    assert place_of_graph(scope, told, channels) == place


def test_a_place_that_is_none_is_refused():
    with pytest.raises(
        InputError, match=r"places: expected res2 … res5, final, or a module .*, got x$"
    ):
        place_of_graph("g", {"g": "x"}, 256)


def test_places_of_non_local_blocks():
    official = {"nl_a": 512, "nl_b": 512, "nl_c": 1024, "nl_d": 1024, "nl_e": 1024}
    places = ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]
    assert list(places_of_non_local(official, {}).values()) == places
    assert places_of_non_local({"b/nl_res4_2": 8}, {}) == {"b/nl_res4_2": "layer3.2"}
    for strange in ({"a": 512}, {"a": 512, "b": 512, "c": 512}, {"a": 256}, {"a_res5": 8}):
        with pytest.raises(
            InputError, match=rf"places of the non-local blocks \['{next(iter(strange))}'"
        ):
            places_of_non_local(strange, {})
    with pytest.raises(InputError, match="where the non-local block 'nl' is"):
        places_of_non_local({"nl": 6}, {})
