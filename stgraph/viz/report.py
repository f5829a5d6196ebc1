"""The two pages: what the demo did, and what a checkpoint sees in a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from stgraph.checks import InputError
from stgraph.viz.about import About
from stgraph.viz.attention import attention_graph, attention_matrix
from stgraph.viz.clips import ClipView, clip_edges
from stgraph.viz.curves import (
    OBJECTS,
    RunCurve,
    accuracy_table,
    learning_curve,
    minutes,
    objects_table,
)
from stgraph.viz.html import Html, Report, badge, markup
from stgraph.viz.regions import region_frames
from stgraph.viz.trajectories import trajectories

__all__ = ["TASK", "demo_report", "show"]

TASK = (
    "Three handwritten digits move over a dark ground, and in most clips two of them take the "
    "same steps. Which two? One frame does not tell: the model has to find the digits, follow them "
    "and compare how they move. It puts nodes on regions of every frame, which are drawn to what "
    "stands out, and lets them exchange messages in space and in time."
)


def demo_report(
    path: str | Path,
    *,
    runs: Sequence[RunCurve],
    clips: Sequence[ClipView],
    about: About,
    chance: float,
    best_without_motion: float,
    title: str = "Regions that follow moving digits",
    task: str = TASK,
) -> Path:
    """Write the page of the demo.

    Args:
        path: where to.
        runs: the trained models; the first is the one that the clips show.
        clips: clips not trained on, right and wrong answers; attention is drawn of the first that
            carries it.
        about: what was run.
        chance: accuracy of guessing.
        best_without_motion: accuracy of the best guess that knows the digits but not their motion.
        title: heading of the page.
        task: what the models had to do.

    Returns:
        The path.

    Raises:
        InputError: without a run.
        OSError: when it cannot be written; an older page stays as it was.
    """
    if not runs:
        raise InputError("runs", "at least one run", "none")
    references = {"best guess without motion": best_without_motion, "chance": chance}
    first = runs[0]
    report = Report(title, task)
    tiles = [(_percent(first.final), f"accuracy, {first.name}")]
    tiles += [(_percent(run.final), f"accuracy, {run.name}") for run in runs[1:3]]
    tiles += [(_percent(best_without_motion), "best guess without motion")]
    tiles += [(minutes(first.duration), f"training, {first.name}")]
    report.tiles(tiles)

    report.heading("What the models reached")
    report.add(accuracy_table(runs, references))
    if any(run.test_clips for run in runs):
        tested = sorted({run.test_clips for run in runs if run.test_clips})
        counted = " and ".join(map(str, tested))
        report.text(
            f"Measured on {counted} clips of digit images that were not trained on; "
            "± is one standard error of that sample, not the spread between seeds."
        )
    with report.columns():
        for against in ("steps", "seconds"):
            report.figure(
                learning_curve(runs, "accuracy", against, references=references),
                alt=f"Accuracy against {against}: " + _ends(runs),
                caption=f"Accuracy on clips not trained on, against {against}.",
            )
        for against in ("steps", "seconds"):
            report.figure(
                learning_curve(runs, "loss", against),
                alt=f"Training loss against {against} of {', '.join(run.name for run in runs)}.",
                caption=f"Training loss, against {against}.",
            )

    if any(run.objects for run in runs):
        _followed(report, runs)

    if clips:
        report.heading("Where it looks")
        report.text(
            "Each colour is one node: its box, and the kernel that it pools features with as a "
            "tint. Dashed white boxes are the true places of the digits, unbroken ones those of "
            "the pair; the model never sees them."
            if any(clip.marked is not None for clip in clips)
            else "Each colour is one node: its box, and the kernel that it pools features with as "
            "a tint. Dashed white boxes, where there are any, are the true places of objects; the "
            "model never sees them."
        )
        with report.columns(narrow=True):
            for number, clip in enumerate(clips):
                _animate(report, clip, number)
        _paths(report, clips[0], "the first clip above")
        attended = next((clip for clip in clips if clip.alpha is not None), None)
        if attended is not None:
            report.heading("Who listens to whom")
            report.text(_attention_text(attended))
            with report.columns():
                _attention(report, attended)
    _about(report, about)
    return report.save(path)


def _followed(report: Report, runs: Sequence[RunCurve]) -> None:
    """How regions lie to the objects: numbers, and curves over the training."""
    report.heading("Do the regions follow?")
    report.text(
        "Measured on the same clips, with boxes that no model sees. Distances are parts of the "
        "frame's side: from an object to the nearest region, and between the movement of an object "
        "and of the region next to it. Regions that stand still have no movement in common."
    )
    report.add(objects_table(runs))
    with report.columns():
        for name, words in OBJECTS.items():
            if any(not math.isnan(value) for run in runs for value in run.values(name)):
                report.figure(
                    learning_curve(runs, name),
                    alt=f"{words} against steps of {', '.join(run.name for run in runs)}.",
                    caption=f"{words[0].upper()}{words[1:]}, against steps.",
                )


def show(
    path: str | Path,
    clips: Sequence[ClipView],
    *,
    title: str = "What the model sees",
    summary: str = "",
    about: About | None = None,
) -> Path:
    """Write a page of regions, their paths and their attention, clip by clip.

    Args:
        path: where to.
        clips: the clips.
        title: heading of the page.
        summary: a sentence below it.
        about: what was run.

    Returns:
        The path.

    Raises:
        InputError: without a clip.
        OSError: when it cannot be written; an older page stays as it was.
    """
    if not clips:
        raise InputError("clips", "at least one clip", "none")
    report = Report(title, summary)
    for number, clip in enumerate(clips):
        named = ", ".join(filter(None, (clip.title, clip.label)))
        report.heading(f"Clip {number + 1}" + (f": {named}" if named else ""))
        with report.columns(narrow=True):
            _animate(report, clip, number)
            _attention(report, clip)
        if clip.alpha is not None:
            report.text(_attention_text(clip))
        _paths(report, clip, "this clip")
    if about is not None:
        _about(report, about)
    return report.save(path)


def _animate(report: Report, clip: ClipView, number: int) -> None:
    identities = clip.graph.node_id.unique().numel()
    report.animation(
        region_frames(clip.video, clip.graph, box=clip.box, marked=clip.marked),
        alt=f"Clip {number + 1}, {len(clip.video)} frames: boxes and kernels of {identities} "
        f"regions over the video. {_answer_text(clip)}",
        caption=_answer(clip),
    )


def _answer(clip: ClipView) -> Html:
    """Caption of a clip: right or wrong in a word (not by colour alone), then the names."""
    sure = "" if clip.confidence is None else f" ({_percent(clip.confidence, 0)})"
    if not clip.prediction:
        return markup(f"true: {clip.label}" if clip.label else "")
    if not clip.label:
        return markup(f"answer: {clip.prediction}{sure}")
    mark = badge("correct", "good") if clip.correct else badge("wrong", "bad")
    truth = "" if clip.correct else f"<br>true: {markup(clip.label)}"
    return Html(f"{mark}{markup(f'answer: {clip.prediction}{sure}')}{truth}")


def _answer_text(clip: ClipView) -> str:
    if not clip.prediction:
        return f"True class: {clip.label}." if clip.label else ""
    return f"Answer: {clip.prediction}" + (f"; true class: {clip.label}." if clip.label else ".")


def _paths(report: Report, clip: ClipView, which: str) -> None:
    truth = " Dashed: centres of the true boxes." if clip.box is not None else ""
    report.figure(
        trajectories(clip.video, clip.graph, box=clip.box),
        alt="Centres of the regions over time, in the frame and as x and y against time.",
        caption=f"Centres of the regions over {which}, in their colours.{truth}",
        wide=True,
    )


def _attention_text(clip: ClipView) -> str:
    return (
        f"Attention in frame {_attended(clip) + 1} of {len(clip.video)}. An arrow goes from the "
        "node that sends to the node that receives, in the sender's colour; the stronger the "
        "weight, the wider and the more opaque. A column of the matrix is what one node hears."
    )


def _attended(clip: ClipView) -> int:
    return len(clip.video) // 2


def _attention(report: Report, clip: ClipView) -> None:
    """Append the two pictures of the attention, where the clip carries one."""
    if clip.alpha is None:
        return
    time = _attended(clip)
    data, alpha = clip.graph[time], clip_edges(clip.graph, clip.alpha, time)
    report.figure(
        attention_graph(clip.video[time], data, alpha),
        alt=f"Graph of {data.num_nodes} nodes over the frame, with {alpha.numel()} directed "
        "edges drawn by attention weight.",
    )
    report.figure(
        attention_matrix(data, alpha),
        alt=f"Matrix of attention weights between {data.num_nodes} senders and receivers.",
    )


def _about(report: Report, about: About) -> None:
    report.heading("What was run")
    report.code(about.command)
    facts: dict[str, object] = {
        "seed": about.seed,
        "took": None if about.seconds is None else minutes(about.seconds),
        "date": about.date,
        "commit": about.commit,
        "machine": about.machine,
        "versions": ", ".join(f"{name} {number}" for name, number in about.versions.items()),
    }
    facts |= about.more
    report.facts({name: fact for name, fact in facts.items() if fact not in (None, "")})


def _percent(value: float, digits: int = 1) -> str:
    return "–" if value != value else f"{100 * value:.{digits}f} %"


def _ends(runs: Sequence[RunCurve]) -> str:
    return ", ".join(f"{run.name} ends at {_percent(run.final)}" for run in runs) + "."
