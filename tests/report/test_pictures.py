"""Drawings: the layout keeps its promises, every level draws, nothing is needed from the machine, names stay text."""

from __future__ import annotations

import xml.dom.minidom
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphmem
from graphmem.ir.errors import OptionError
from graphmem.ir.profile import Profile
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile
from graphmem.report.drawing import dot as dots
from graphmem.report.drawing.dot import dot, drawn
from graphmem.report.drawing.layout import GAP, layout
from graphmem.report.drawing.levels import LEVELS
from graphmem.report.drawing.picture import ELSEWHERE, MOST_AROUND, has_checkpoints, picture
from graphmem.report.drawing.svg import svg
from graphmem.report.page.page import report_html

MODELS = Path(__file__).parents[2] / "models"
NAMES = ["resnet50", "bert", "llama", "unet", "tiny_if", "resnet50_torchscript"]


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30))
def test_boxes_never_overlap_and_arrows_run_to_the_right(pairs: list[tuple[int, int]]) -> None:
    arrows = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    sizes = [(40.0 + i, 20.0) for i in range(15)]
    places = layout(sizes, arrows, [30.0] * len(arrows))
    for i, (x, y) in enumerate(places.centres):
        for j, (u, v) in enumerate(places.centres[:i]):
            apart_x = abs(x - u) >= (sizes[i][0] + sizes[j][0]) / 2
            assert apart_x or abs(y - v) >= 20 + GAP - 1e-6
    for route in places.routes:
        assert all(a[0] < b[0] for a, b in pairwise(route))
    assert all(0 <= y <= places.height and 0 <= x <= places.width for x, y in places.centres)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_level_of_every_model_draws_forwards(name: str, level: str) -> None:
    profile = inference_profile(graphmem.analyze(MODELS / f"{name}.onnx", batch=1))
    for around in (True, False):
        made = picture(profile, "title", level, around)
        assert sum(box.is_peak for box in made.boxes) == 1
        assert len(made.boxes) <= MOST_AROUND or not around
        assert all(a.source < a.target for a in made.arrows if ELSEWHERE not in (a.source, a.target))
        if len(made.boxes) <= 200:
            xml.dom.minidom.parseString(svg(made))
        assert dot(made).count("fillcolor") == len(made.boxes)


@pytest.fixture(scope="module")
def step() -> Profile:
    return training_profile(graphmem.train(MODELS / "resnet18.onnx", batch=4))


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_of_a_training_step_draws_forwards(step: Profile, level: str) -> None:
    for around in (True, False):
        made = picture(step, "title", level, around)
        assert sum(box.is_peak for box in made.boxes) == 1
        assert all(a.source < a.target for a in made.arrows if ELSEWHERE not in (a.source, a.target))
        if len(made.boxes) <= 200:
            xml.dom.minidom.parseString(svg(made))


def test_modules_of_a_step_are_a_ladder_from_forward_to_backward(step: Profile) -> None:
    made = picture(step, "", "scope", around_peak=False)
    names = [" ".join((box.label[0].split()[0], box.label[0].split()[-1])) for box in made.boxes]
    pairs = {(names[a.source], names[a.target]) for a in made.arrows if ELSEWHERE not in (a.source, a.target)}
    for block in ("layer1.0", "layer2.1", "layer4.0"):
        assert (f"forward {block}", f"backward {block}") in pairs
    assert ("forward layer1.0", "forward layer1.1") in pairs
    assert ("backward layer1.1", "backward layer1.0") in pairs
    assert any("constraint=false" in line for line in dot(made).splitlines())


def test_checkpoints_are_marked_where_something_is_computed_again(step: Profile) -> None:
    assert not has_checkpoints(step)
    steps = step.schedule.steps
    again = next(r for r, t in enumerate(step.tensors) if t.producer and steps[t.first_step].phase == "backward")
    tensors = list(step.tensors)
    tensors[again] = replace(tensors[again], kind="recomputed activation")
    marked = replace(step, tensors=tuple(tensors))
    assert has_checkpoints(marked)
    labels = {box.step: box.label[0] for box in picture(marked, "", "op", around_peak=False).boxes}
    assert labels[tensors[again].first_step].startswith("↻ ")
    kept = {t.first_step for t in tensors if t.kind == "saved activation"}
    assert {s for s, label in labels.items() if label.startswith("◆ ")} == kept


def test_the_picture_of_resnet_50_is_the_sum_of_two_branches() -> None:
    profile = inference_profile(graphmem.analyze(MODELS / "resnet50.onnx", batch=1))
    made = picture(profile, "")
    hot = {profile.tensors[arrow.row].tensor for arrow in made.arrows if arrow.at_peak}
    assert hot == {profile.tensors[row].tensor for row in profile.rows_at_peak}
    assert [box.label[0] for box in made.boxes if box.is_peak] == ["13: BatchNormalization"]


def test_without_graphviz_there_is_still_an_svg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dots, "_by_graphviz", lambda *_: None)
    monkeypatch.setattr(dots, "_by_pygraphviz", lambda *_: None)
    profile = inference_profile(graphmem.analyze(MODELS / "resnet50.onnx", batch=1))
    assert str(drawn(picture(profile, "t"), "svg")).startswith("<svg")
    assert str(drawn(picture(profile, "t"), "gv")).startswith("digraph")
    with pytest.raises(OptionError, match=r"graphmem\[draw\]"):
        drawn(picture(profile, "t"), "png")


def test_graphviz_missing_from_the_path_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert dots._by_graphviz("digraph {a}", "svg") is None


def test_a_hairball_is_refused_with_the_level_to_use(model: Callable[..., Path]) -> None:
    lines = ["t0 = Exp(x)"] + [f"t{i} = Add(t{i - 1}, t{max(i - 2, 0)})" for i in range(1, 1600)] + ["y = Neg(t1599)"]
    path = model("g (float[4] x) => (float[4] y) {" + " ".join(lines) + "}")
    profile = inference_profile(graphmem.analyze(path))
    with pytest.raises(OptionError, match=r"1601 boxes at level op .* use --level \w+ or --around peak"):
        picture(profile, "", "op", around_peak=False)
    assert len(picture(profile, "").boxes) <= MOST_AROUND


def test_hostile_names_stay_text_in_every_drawing(model: Callable[..., Path]) -> None:
    import onnx

    path = model("g (float[4] x) => (float[4] y) { a = Exp(x) y = Neg(a) }")
    proto = onnx.load(path)
    proto.graph.node[0].op_type = '</svg><script>alert("1")</script>\x01\\n\\N"];'
    proto.graph.node[0].domain = "evil"
    proto.opset_import.add(domain="evil", version=1)
    onnx.save(proto, path)
    analysis = graphmem.analyze(path)
    profile = inference_profile(analysis)
    made = picture(profile, "</title>&", around_peak=False)
    xml.dom.minidom.parseString(svg(made))
    assert "<script>alert" not in svg(made)
    assert "<script>alert" not in report_html(analysis, [profile])
    if (rendered := dots._by_graphviz(dot(made), "svg")) is not None:
        assert b"<script>" not in rendered


def test_empty_models_have_a_page_and_a_drawing(model: Callable[..., Path]) -> None:
    analysis = graphmem.analyze(model("g (float[4] x) => (float[4] x) { }"))
    profile = inference_profile(analysis)
    assert "<html" in report_html(analysis, [profile])
    assert svg(picture(profile, "")).startswith("<svg")
    assert "<div" in analysis._repr_html_()  # type: ignore[attr-defined]


def test_a_notebook_shows_a_training_step() -> None:
    found = graphmem.train(MODELS / "tiny_cnn.onnx", batch=2, optimizer="adam")
    html = found._repr_html_()  # type: ignore[attr-defined]
    assert html.count("<path") == len(training_profile(found).bands)
    assert "adam (single), cpu" in html
    assert "<script" not in html


def test_a_notebook_shows_the_timeline_without_a_script() -> None:
    html = graphmem.analyze(MODELS / "resnet50.onnx", batch=1)._repr_html_()  # type: ignore[attr-defined]
    assert html.count("<path") == 4  # inputs, held, read, made
    assert "106.88 MiB" in html
    assert "<script" not in html
