"""Changes of a configuration."""

from __future__ import annotations

import pytest

from stgraph.checks import InputError
from stgraph.studies.merging import changed, value_at

NODES = {"class_path": "a.Nodes", "init_args": {"count": 9, "edges": {"class_path": "a.Full"}}}
MODEL = {"class_path": "a.Net", "init_args": {"width": 8, "nodes": NODES}}
BASE = {"model": {"model": MODEL, "auxiliary": {"class_path": "a.Aux"}}, "data": {"batch_size": 4}}


def test_nested_and_dotted_changes_are_the_same() -> None:
    nested = {"model": {"model": {"init_args": {"nodes": {"init_args": {"count": 4}}}}}}
    for changes in (nested, {"model.model.nodes.count": 4}, {"model": {"model.nodes.count": 4}}):
        made = changed(BASE, changes)
        assert value_at(made, "model.model.nodes.count") == 4
        assert value_at(made, "model.model.nodes.edges.class_path") == "a.Full"
        assert value_at(made, "model.model.width") == 8
        assert made["data"] == {"batch_size": 4}


def test_nothing_that_is_passed_is_changed() -> None:
    before = changed(BASE, {})
    changes = {"model.model.nodes": {"class_path": "b.Nodes", "init_args": {"of": [1, 2]}}}
    made = changed(BASE, changes)
    made["model"]["model"]["init_args"]["nodes"]["init_args"]["of"].append(3)
    assert before == BASE
    assert changes["model.model.nodes"]["init_args"]["of"] == [1, 2]


def test_another_class_has_none_of_the_former_arguments() -> None:
    made = changed(BASE, {"model.model.nodes": {"class_path": "b.Nodes", "init_args": {"of": 1}}})
    nodes = value_at(made, "model.model.nodes")
    assert nodes == {"class_path": "b.Nodes", "init_args": {"of": 1}}
    same = changed(BASE, {"model.model.nodes": {"class_path": "a.Nodes", "init_args": {"of": 1}}})
    assert value_at(same, "model.model.nodes.count") == 9


def test_a_name_alone_is_a_part() -> None:
    made = changed({"scale": "a.signed"}, {"scale.by": 2})
    assert made == {"scale": {"class_path": "a.signed", "init_args": {"by": 2}}}


def test_arguments_may_stand_on_both_levels() -> None:
    changes = {"model.model": {"init_args": {"width": 4}, "depth": 2}}
    model = changed(BASE, changes)["model"]["model"]
    assert model == {**MODEL, "init_args": {**MODEL["init_args"], "width": 4, "depth": 2}}


def test_dotted_names_may_begin_within_a_part() -> None:
    dotted = {"model": {"model": {"init_args.nodes.count": 4, "init_args.width": 4}}}
    assert changed(BASE, dotted) == changed(
        BASE, {"model.model": {"nodes": {"count": 4}, "width": 4}}
    )


def test_null_and_lists_replace() -> None:
    made = changed({"a": {"b": [1, 2], "c": {"d": 1}}}, {"a.b": [3], "a.c": None, "e.f": 1})
    assert made == {"a": {"b": [3], "c": None}, "e": {"f": 1}}


def test_a_name_in_a_number_is_told() -> None:
    with pytest.raises(InputError, match=r"data\.batch_size\.x|batch_size\.x|batch_size"):
        changed(BASE, {"data.batch_size.x": 1})
    assert value_at(BASE, "data.batch_size.x") is None
    assert value_at(BASE, "nothing.here") is None
