"""Files of programs run where this library cannot be imported."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from stgraph.checks import InputError
from stgraph.export import (
    clip_program,
    difference,
    reopened,
    write_onnx,
    write_program,
)
from stgraph.export.files import ABOUT
from stgraph.training.scaling import signed

ALONE = """
import sys
for name in ("stgraph", "torch_geometric", "lightning"):
    sys.modules[name] = None  # so that an import of it fails
import json
import torch

about = {"stgraph.json": ""}
program = torch.export.load(sys.argv[1], extra_files=about)
inputs = torch.load(sys.argv[2], weights_only=True)
torch.save(program.module()(*inputs), sys.argv[3])
print(json.loads(about["stgraph.json"])["classes"])
"""


def alone(path: Path, inputs: list[torch.Tensor], folder: Path) -> tuple[list[torch.Tensor], str]:
    """What a file makes of inputs in a process without this library."""
    given, found = folder / "inputs.pt", folder / "outputs.pt"
    torch.save(inputs, given)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(path), str(given), str(found)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    made = torch.load(found, weights_only=True)
    return [made] if isinstance(made, torch.Tensor) else list(made), done.stdout


@pytest.mark.slow
def test_a_file_runs_without_this_library(clip_of, tmp_path):
    made = clip_of("smallest")
    write_program(tmp_path / "model.pt2", made, {"classes": ["a", "b"]})
    video = made.video(4, seed=3)
    (logits,), said = alone(tmp_path / "model.pt2", [video], tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(logits, made.model(signed(video)).logits, rtol=1e-4, atol=1e-5)
    assert said.strip() == "['a', 'b']"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smallest", pytest.param("motion_small", marks=pytest.mark.long)])
def test_a_file_of_a_step_runs_without_this_library(step_of, tmp_path, name):
    made = step_of(name)
    write_program(tmp_path / "step.pt2", made, {"classes": []})
    outputs, _ = alone(tmp_path / "step.pt2", [made.video(2), *made.start(2)], tmp_path)
    with torch.no_grad():
        expected = made.model(signed(made.video(2)))
    torch.testing.assert_close(outputs[0], expected.logits, rtol=1e-4, atol=1e-5)
    assert difference(reopened(tmp_path / "step.pt2", "pt2"), made) < 1e-5


@pytest.mark.slow
def test_a_file_says_what_it_takes(step_of, tmp_path):
    made = step_of("smallest")
    write_program(tmp_path / "step.pt2", made, {"streaming": True})
    words = {ABOUT: ""}
    torch.export.load(tmp_path / "step.pt2", extra_files=words)
    about = json.loads(words[ABOUT])
    assert about["streaming"] is True
    assert about["inputs"][0] == {
        "name": "video",
        "type": "uint8",
        "shape": ["clips", 1, 1, 16, 16],
    }
    assert about["outputs"] == ["logits", *(f"next_{n}" for n in range(len(about["inputs"]) - 1))]


@pytest.mark.slow
def test_another_model_is_found_to_differ(model_of, tmp_path):
    model, size = model_of("smallest")
    made = clip_program(model, size, signed)
    write_program(tmp_path / "model.pt2", made, {})
    with torch.no_grad():
        model.classifier.bias += 1
    run = reopened(tmp_path / "model.pt2", "pt2")
    assert difference(run, made) == pytest.approx(1, abs=1e-4)
    assert difference(lambda *given: [run(*given)[0] * torch.nan], made) == float("inf")


onnx_names = [
    "dyreg_small",
    *(
        pytest.param(name, marks=(pytest.mark.slow, pytest.mark.long))
        for name in (
            "motion_classes",
            "motion_small",
            "rstg",
            "rstg_official",
            "dyreg_r18",
            "dyreg_r4",
            "dyreg_r345",
        )
    ),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converter
@pytest.mark.parametrize("name", onnx_names)
def test_onnx_equals_the_model(clip_of, tmp_path, monkeypatch, capsys, name):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    made = clip_of(name)
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    for logger, level in zip(loggers, (logging.DEBUG, logging.ERROR, logging.NOTSET), strict=True):
        monkeypatch.setattr(logger, "level", level)
    warnings.filterwarnings("default", message="of the caller")
    filters = list(warnings.filters)
    write_onnx(tmp_path / "model.onnx", made, {"classes": ["a"]})
    assert capsys.readouterr().out == ""
    assert warnings.filters == filters  # quiet only meanwhile
    levels = [logger.level for logger in loggers]
    assert levels == [logging.DEBUG, logging.ERROR, logging.NOTSET]
    assert difference(reopened(tmp_path / "model.onnx", "onnx"), made) < 1e-4
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [each.name for each in session.get_inputs()] == ["video"]
    assert [each.name for each in session.get_outputs()] == ["logits"]
    about = json.loads(session.get_modelmeta().custom_metadata_map["stgraph"])
    assert about["classes"] == ["a"]
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]  # its weights are inside


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "dyreg_small",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("motion_classes", "motion_small", "dyreg_r18", "rstg")
        ),
    ],
)
def test_onnx_of_a_step_equals_the_stream(step_of, tmp_path, name):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    made = step_of(name)
    write_onnx(tmp_path / "step.onnx", made, {})
    assert difference(reopened(tmp_path / "step.onnx", "onnx"), made, calls=4) < 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_onnx_has_no_word_for_is_told(tmp_path):
    pytest.importorskip("onnxscript")

    class Odd(torch.nn.Module):
        def forward(self, video, state=None):
            from collections import namedtuple

            value = torch.linalg.lu_factor(video[:, 0, 0])[0].sum((1, 2))[:, None]
            return namedtuple("Answer", "logits")(value)

    made = clip_program(Odd().eval(), (1, 1, 4, 4))
    with pytest.raises(InputError, match="model: expected a model of operations that ONNX has"):
        write_onnx(tmp_path / "odd.onnx", made, {})
