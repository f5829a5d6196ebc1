from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch

from stgraph.checks import InputError
from stgraph.viz import Html, Report
from stgraph.viz.figures import new_figure, plain


@pytest.fixture
def figure():
    pytest.importorskip("matplotlib")
    figure, (axes,) = new_figure(3, 2)
    axes.plot([0, 1], [0, 1])
    plain(axes, "a <title> & more")
    return figure


def test_everything_at_once_is_well_formed(check_page, figure):
    pytest.importorskip("PIL")
    frames = torch.randint(0, 256, (3, 8, 10, 3), dtype=torch.uint8)
    report = Report("T", "summary").heading("H").text("one\n\ntwo").tiles([("1", "n")])
    report.facts({"seed": 0}).table(("a", "b"), [("x", 1), ("y", 2.5)], caption="C").code("ls")
    with report.columns(narrow=True):
        report.figure(figure, alt="first", caption="cap").figure(figure, alt="again", wide=True)
        report.figure(figure, alt="pixels", kind="png")
    report.image(frames[0], alt="still").animation(frames, alt="moving")
    page = check_page(report.html())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == 2
    assert tags.count("img") == 3
    assert tags.count("h1") == 1
    assert tags.count("p") == 3
    assert 'media="(prefers-reduced-motion: reduce)"' in report.html()


@pytest.mark.parametrize(("fps", "duration"), [(4, 250), (10, 100)])
def test_an_animation_has_its_size_and_its_pace(fps, duration):
    image = pytest.importorskip("PIL.Image")
    frames = torch.randint(0, 256, (3, 8, 10, 3), dtype=torch.uint8)
    page = Report("T").animation(frames, alt="moving", caption="<below>", fps=fps).html()
    assert ' width="10" height="8" alt="moving"' in page
    assert "<figcaption>&lt;below&gt;</figcaption>" in page
    encoded = re.search(r'src="data:image/webp;base64,([^"]+)"', page)[1]
    with image.open(io.BytesIO(base64.b64decode(encoded))) as moving:
        moving.seek(1)
        moving.load()
        assert (moving.size, moving.info["duration"]) == ((10, 8), duration)
    still = re.search(r'srcset="data:image/png;base64,([^"]+)"', page)[1]
    with image.open(io.BytesIO(base64.b64decode(still))) as middle:
        assert (np.asarray(middle.convert("RGB")) == frames[1].numpy()).all()
    below = Report("T").image(frames[0], alt="still", caption="one").html()
    assert "<figcaption>one</figcaption>" in below


def test_all_text_is_escaped(check_page, figure):
    evil = '<script>alert("x")</script> & \'"'
    report = Report(evil, evil).heading(evil).text(evil).tiles([(evil, evil)]).code(evil)
    report.facts({evil: evil}).table((evil,), [(evil,)], caption=evil)
    report.figure(figure, alt=evil, caption=evil)
    page = check_page(report.html())
    assert "".join(page.words).count(evil) == 14
    assert next(attrs for tag, attrs in page.tags if tag == "svg")["aria-label"] == evil


def test_html_is_taken_as_it_is_and_text_is_not():
    report = Report("T").add(Html("<b>x</b>"))
    assert "<b>x</b>" in report.html()
    with pytest.raises(InputError, match="part: expected Html"):
        report.add("<b>x</b>")


def test_figures_follow_the_page_and_keep_their_ids_apart(check_page, figure):
    text = Report("T").figure(figure, alt="a").figure(figure, alt="b").html()
    assert "currentColor" in text[text.index("<svg") :]
    assert "#1f2329" not in text[text.index("<svg") :]
    for target in set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)):
        assert f'id="{target}"' in text
    check_page(text)


def test_columns_of_numbers_stand_right():
    text = Report("T").table(("n", "v"), [("a", 1), ("b", 2)]).html()
    assert '<td class="number">1</td>' in text
    text = Report("T").table(("n", "v"), [("a", 1), ("b", "–")]).html()
    assert "<td>1</td>" in text


def test_columns_close_when_the_inside_fails(check_page):
    report = Report("T")

    def inside() -> None:
        with report.columns():
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        inside()
    check_page(report.html())


def test_save_is_whole_or_nothing(check_page, tmp_path, monkeypatch):
    path = Report("first").save(tmp_path / "deep" / "page.html")
    first = path.read_text(encoding="utf-8")
    check_page(first)

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            Report("second").save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == first
    Report("second").save(path)
    assert "second" in path.read_text(encoding="utf-8")


def test_saved_page_is_readable_like_any_new_file(tmp_path):
    page, other = Report("T").save(tmp_path / "page.html"), tmp_path / "other"
    other.touch()
    assert page.stat().st_mode == other.stat().st_mode


def test_bad_input_is_named(check_page, figure):
    report = Report("T")
    with pytest.raises(InputError, match="alt: expected a description"):
        report.figure(figure, alt=" ")
    with pytest.raises(InputError, match="kind: expected one of 'svg', 'png'"):
        report.figure(figure, alt="a", kind="pdf")
    with pytest.raises(InputError, match="kind: expected one of 'webp', 'gif'"):
        report.animation(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), alt="a", kind="mp4")
    with pytest.raises(InputError, match=r"rows\[1\]: expected 2 cells, got 1"):
        report.table(("a", "b"), [(1, 2), (3,)])
    with pytest.raises(InputError, match=r"image: expected \[H, W, 3\]"):
        report.image(torch.zeros(3, 4, 5, dtype=torch.uint8), alt="a")
    assert check_page(report.html()).words.count("T") == 2  # nothing was appended
