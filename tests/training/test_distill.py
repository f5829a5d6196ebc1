from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.checks import InputError
from stgraph.cli import main
from stgraph.layers import TimeLayer
from stgraph.nodes import DynamicRegions, GridNodes, NodeExtractor
from stgraph.training import ClassificationModule, ClipData, Constant, KickStart, model_of_run

CLIP = (3, 1, 8, 8)


class Reply(NamedTuple):
    logits: Tensor
    graphs: Mapping[str, Batch]


class Model(nn.Module):
    """A map, graph blocks by place, and logits."""

    def __init__(self, places: tuple[str, ...] = ("a",), nodes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.ModuleDict({place: block(regions(nodes)) for place in places})
        self.fc = nn.Linear(4, 3)
        self.calls = 0

    def forward(self, video: Tensor, state: Any = None) -> Reply:
        self.calls += 1
        maps = self.conv(video.flatten(0, 1)).unflatten(0, video.shape[:2])
        graphs = {}
        for place, one in self.blocks.items():
            maps, _, graphs[place], _ = one(maps)
        return Reply(self.fc(maps.mean((1, 3, 4))), graphs)


def regions(nodes: int) -> NodeExtractor:
    return DynamicRegions(4, nodes, alpha=(0.5, 0.5, 0.5, 0.5))


def block(nodes: NodeExtractor) -> GraphBlock:
    return GraphBlock(SpaceTimeGraph(nodes, {"time": TimeLayer(nn.GRU(4, 4))}, ("time",)))


class Noise(torch.utils.data.Dataset):
    def __init__(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.video = torch.randint(0, 256, (8, *CLIP), generator=random).byte()

    def __len__(self) -> int:
        return len(self.video)

    def batch(self, indices, device=None):
        index = torch.as_tensor(indices)
        return {"video": self.video[index], "label": index % 3, "index": index}


def clips() -> dict[str, Tensor]:
    return {"video": torch.randn(2, *CLIP)}


def fit(module: ClassificationModule, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        accelerator="cpu", enable_model_summary=False, **{"max_steps": 10, **options}, **quiet
    )
    trainer.fit(module, datamodule=ClipData(Noise(), batch_size=4))
    return trainer


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def test_the_loss_is_the_windows_distance_in_shares_of_the_map() -> None:
    student, teacher, batch = Model(("a", "b")), Model(("b",)), clips()
    part = KickStart({"b": teacher}, weight=3.0)
    answer = student(batch["video"])
    difference = answer.graphs["b"].window - teacher(batch["video"]).graphs["b"].window
    torch.testing.assert_close(part(answer, batch), 3 * (difference / 8).square().mean())


def test_the_map_may_be_oblong() -> None:
    video = torch.randn(1, 2, 1, 4, 10)
    student, teacher = Model(), Model()
    answer = student(video)
    difference = answer.graphs["a"].window - teacher(video).graphs["a"].window
    expected = (difference / torch.tensor([4.0, 10, 4, 10])).square().mean()
    found = KickStart({"a": teacher})(answer, {"video": video})
    torch.testing.assert_close(found, expected)


def test_only_the_students_regions_get_gradients() -> None:
    student, teacher, batch = Model(("a",)), Model(("a",)), clips()
    KickStart({"a": teacher})(student(batch["video"]), batch).backward()
    moved = {name for name, p in student.named_parameters() if p.grad is not None}
    assert any(name.startswith("blocks.a.net.nodes.generator") for name in moved)
    assert not any(name.startswith(("fc", "blocks.a.net.layers")) for name in moved)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())


def test_a_teacher_is_no_part_of_what_it_teaches() -> None:
    teacher = Model()
    module = ClassificationModule(Model(), auxiliary=KickStart({"a": teacher}))
    plain = ClassificationModule(Model())
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert len(list(module.parameters())) == len(list(plain.parameters()))
    module.train()
    assert not teacher.training
    module.double()
    assert teacher.fc.weight.dtype == torch.float64  # it moves along
    copied = copy.deepcopy(module)
    assert copied.auxiliary.teachers["a"] is not teacher


def test_the_student_follows_at_first_and_teachers_are_asked_no_more() -> None:
    video = Noise().video.float() / 127.5 - 1
    student, teacher = Model(), Model()
    with torch.no_grad():
        teacher.blocks["a"].net.nodes.offset.bias.copy_(torch.tensor([1.0, -1, 2, -2]))

    def distance() -> float:
        with torch.no_grad():
            seen, shown = (m(video).graphs["a"].window for m in (student, teacher))
        return float((seen - shown).square().mean())

    module = ClassificationModule(
        student, optimizer=sgd, schedule=Constant(), auxiliary=KickStart({"a": teacher}, 0.5, 50.0)
    )
    before, teacher.calls = distance(), 0
    logged: list[float] = []
    module.on_train_batch_end = lambda *_: logged.append(  # type: ignore[method-assign]
        float(module.trainer.callback_metrics["train/auxiliary"])
    )
    fit(module, max_steps=20)
    assert teacher.calls == 10
    assert [loss > 0 for loss in logged] == [True] * 10 + [False] * 10
    assert distance() < 0.5 * before


def test_ten_per_cent_are_the_default() -> None:
    teacher = Model()
    fit(ClassificationModule(Model(), auxiliary=KickStart({"a": teacher})), max_steps=20)
    assert teacher.calls == 2


def test_one_teacher_of_two_places_is_run_once() -> None:
    teacher, batch = Model(("a", "b")), clips()
    part = KickStart({"a": teacher, "b": teacher})
    part(Model(("a", "b"))(batch["video"]), batch)
    assert teacher.calls == 1


def test_the_losses_of_places_are_added() -> None:
    student, one, other, batch = Model(("a", "b")), Model(("a",)), Model(("b",)), clips()
    answer = student(batch["video"])
    alone = [KickStart(part)(answer, batch) for part in ({"a": one}, {"b": other})]
    assert min(alone) > 0
    both = KickStart({"a": one, "b": other})(answer, batch)
    torch.testing.assert_close(both, alone[0] + alone[1])


def test_without_an_end_there_is_no_first_share() -> None:
    module = ClassificationModule(Model(), schedule=Constant(), auxiliary=KickStart({"a": Model()}))
    with pytest.raises(InputError, match="auxiliary: expected a run with max_epochs or max_steps"):
        fit(module, max_steps=-1, max_epochs=-1)


def grid() -> Model:
    model = Model(())
    model.blocks["a"] = block(GridNodes(4, (1, 1)))
    return model


class Blind(nn.Module):
    def forward(self, video: Tensor, state: Any = None) -> Any:
        return SimpleNamespace(logits=video.mean((1, 2, 3, 4))[:, None].expand(-1, 3))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (Model, lambda: Model(("b",)), r"teachers\['a'\]: expected a model with a graph at 'a'"),
        (lambda: Model(("b",)), Model, r"model: expected a model with a graph at 'a', got .*'b'"),
        (Model, lambda: Model(nodes=3), r"teachers\['a'\]: expected the student's Layout.*nodes=2"),
        (Model, grid, r"teachers\['a'\]: expected a graph at 'a' whose nodes are windows"),
        (Model, Blind, r"teachers\['a'\]: expected a model with .*, got graphs at \[\]"),
    ],
    ids=["no such place there", "no such place here", "other nodes", "no windows", "no graphs"],
)
def test_what_does_not_match_is_told(student: Callable, teacher: Callable, message: str) -> None:
    batch = clips()
    with pytest.raises(InputError, match=message):
        KickStart({"a": teacher()})(student()(batch["video"]), batch)


def test_teachers_are_models_by_place() -> None:
    with pytest.raises(InputError, match="teachers: expected a model by the name of a place"):
        KickStart({})
    with pytest.raises(InputError, match=r"teachers\['a'\]: expected an nn.Module or .*, got int"):
        KickStart({"a": 3})  # type: ignore[dict-item]


def test_an_auxiliary_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="auxiliary: expected an Auxiliary, got Linear"):
        ClassificationModule(Model(), auxiliary=nn.Linear(1, 1))  # type: ignore[arg-type]


STUDENT = """
from typing import NamedTuple

from torch import nn

from stgraph import GraphBlock, SpaceTimeGraph
from stgraph.layers import TimeLayer
from stgraph.nodes import DynamicRegions


class Reply(NamedTuple):
    logits: object
    graphs: dict


class Regions(nn.Module):
    def __init__(self, places: int = 1):
        super().__init__()
        self.blocks = nn.ModuleDict()
        for place in "abc"[:places]:
            nodes = DynamicRegions(1, 2, alpha=(0.5,) * 4)
            net = SpaceTimeGraph(nodes, {"time": TimeLayer(nn.GRU(1, 1))}, ("time",))
            self.blocks[place] = GraphBlock(net)
        self.fc = nn.Linear(64, 7)

    def forward(self, video, state=None):
        graphs = {}
        for place, block in self.blocks.items():
            video, _, graphs[place], _ = block(video)
        return Reply(self.fc(video.mean(1).flatten(1)), graphs)
"""


@pytest.mark.slow
def test_runs_teach_from_the_command_line(config, tmp_path) -> None:
    """Two runs with one graph each, and one with both that they teach, also when it is resumed."""
    (tmp_path / "regions_of_a_user.py").write_text(STUDENT, encoding="utf-8")
    model = {"class_path": "regions_of_a_user.Regions"}
    path = config({"model.model": model, "trainer.max_epochs": 1})
    assert main(["fit", "--config", path, "--run", "teacher"]) == 0
    last = Path("runs/teacher/checkpoints/last.ckpt")
    content = torch.load(last, weights_only=True)
    content["state_dict"] = {name: value + 1 for name, value in content["state_dict"].items()}
    torch.save(content, last)
    for which in ("best", "last"):
        saved = torch.load(last.with_stem(which), weights_only=True)["state_dict"]
        for name, value in model_of_run("runs/teacher", which).state_dict().items():
            torch.testing.assert_close(value, saved[f"model.{name}"])
    by_path = model_of_run("runs/teacher", "runs/teacher/checkpoints/last.ckpt").state_dict()
    for name, value in model_of_run("runs/teacher", "last").state_dict().items():
        assert torch.equal(value, by_path[name])

    run = {"class_path": "stgraph.training.model_of_run", "init_args": {"folder": "runs/teacher"}}
    changes = {
        "model.model": {**model, "init_args": {"places": 2}},
        "model.auxiliary": {
            "class_path": "stgraph.training.KickStart",
            "init_args": {"teachers": {"a": run}, "share": 0.5},
        },
        "trainer.max_epochs": 1,
    }
    path = config(changes)
    assert main(["fit", "--config", path]) == 0
    resolved = yaml.safe_load((tmp_path / "runs/small/config.yaml").read_text())
    assert resolved["model"]["auxiliary"]["init_args"]["teachers"]["a"]["init_args"] == {
        "folder": "runs/teacher",
        "checkpoint": "best",
    }
    last = torch.load("runs/small/checkpoints/last.ckpt", weights_only=True)
    assert not [name for name in last["state_dict"] if "teacher" in name or "auxiliary" in name]
    again = ["fit", "--config", path, "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main(again) == 0


def test_a_folder_that_is_no_runs_is_told(tmp_path) -> None:
    with pytest.raises(InputError, match=r"folder: expected that of a run, with its config.yaml"):
        model_of_run(tmp_path)
    (tmp_path / "config.yaml").write_text("trainer: {}\n", encoding="utf-8")
    with pytest.raises(InputError, match="expected a configuration of `stgraph fit`"):
        model_of_run(tmp_path)


class Told(Model):
    """A model that wants to be told something."""

    def forward(self, video: Tensor, state: Any = None, *, secret: Tensor) -> Reply:
        assert secret.tolist() == [7, 8]
        return super().forward(video)


def test_teachers_are_told_what_the_student_is_told() -> None:
    part = KickStart({"a": Told()})
    batch = {**clips(), "number": torch.tensor([7, 8]), "label": torch.zeros(2, dtype=torch.long)}
    student = Told()
    module = ClassificationModule(student, auxiliary=part, hints={"secret": "number"})
    answer = student(batch["video"], secret=batch["number"])
    assert module.auxiliary is part
    assert part(answer, batch) > 0


def taught(config, tmp_path: Path, share: float = 0.5, epochs: int = 1) -> str:
    """A run that can teach, and the configuration of one that its folder teaches."""
    (tmp_path / "regions_of_a_user.py").write_text(STUDENT, encoding="utf-8")
    model = {"class_path": "regions_of_a_user.Regions"}
    assert main(["fit", "--config", config({"model.model": model}), "--run", "teacher"]) == 0
    part = {
        "class_path": "stgraph.training.KickStart",
        "init_args": {"teachers": {"a": "runs/teacher"}, "share": share},
    }
    changes = {"model.model": model, "model.auxiliary": part, "trainer.max_epochs": epochs}
    return config(changes)


@pytest.mark.slow
def test_a_student_is_tested_where_its_teachers_are_not(config, tmp_path) -> None:
    path = taught(config, tmp_path)
    assert main(["fit", "--config", path]) == 0
    (tmp_path / "runs/teacher").rename(tmp_path / "elsewhere")
    assert main(["test", "--config", path, "--ckpt_path", "best"]) == 0
    # the first half is over, so nobody is asked any more
    again = ["fit", "--config", path, "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main(again) == 0
    assert main(["fit", "--config", path, "--run", "other"]) == 2


def test_reading_a_teacher_draws_no_random_number_of_the_run(config, tmp_path) -> None:
    part = KickStart({"a": str(tmp_path / "runs/teacher")})
    taught(config, tmp_path)
    before = torch.get_rng_state()
    ready = part._ready(torch.zeros(1, dtype=torch.float64))
    assert torch.equal(before, torch.get_rng_state())
    assert ready["a"].fc.weight.dtype == torch.float64
    assert not ready["a"].training
    assert part._ready(torch.zeros(1))["a"] is ready["a"]


def test_a_run_whose_configuration_is_damaged_or_whose_class_is_gone_is_told(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text("model: {model: [", encoding="utf-8")
    with pytest.raises(InputError, match="expected a configuration of `stgraph fit`"):
        model_of_run(tmp_path)
    gone = "model: {model: {class_path: parts_that_are_gone.Model}}\n"
    (tmp_path / "config.yaml").write_text(gone, encoding="utf-8")
    with pytest.raises(InputError, match=r"expected a model whose parts can .*parts_that_are_gone"):
        model_of_run(tmp_path)
