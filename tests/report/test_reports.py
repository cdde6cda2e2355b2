"""Every report: no line is wider than the terminal, documents follow their schemas, figures are those of the record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.cells import cell_len

import graphmem
from graphmem.api.train_ranks import train_ranks
from graphmem.fleet.overview import overview
from graphmem.ir.comparison import Change, Comparison
from graphmem.ir.fit import Fit
from graphmem.ir.profile import Profile
from graphmem.ir.ranks import Ranked
from graphmem.ir.runtime import SessionOptions
from graphmem.ir.training import PHASES, Training
from graphmem.ir.verification import Parting, Trial, Verification
from graphmem.memory.comparison import compare
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile
from graphmem.report.analysis import analysis_text
from graphmem.report.comparison import comparison_text
from graphmem.report.drawing.dot import dot
from graphmem.report.drawing.levels import LEVELS
from graphmem.report.drawing.picture import picture
from graphmem.report.drawing.svg import svg
from graphmem.report.envelope import schema_text
from graphmem.report.fit import fit_json, fit_text
from graphmem.report.fleet import fleet_text
from graphmem.report.page.page import report_html
from graphmem.report.ranks import ranks_json, ranks_text
from graphmem.report.training import training_text
from graphmem.report.units import count, size
from graphmem.report.verification import verification_json, verification_text

MODELS = Path(__file__).parents[2] / "models"
LONG = "a.very.long.path.of.modules." * 20


@pytest.fixture(scope="module")
def training() -> Training:
    return graphmem.train(MODELS / "resnet18.onnx", batch=2, optimizer="adamw", device="cuda")


@pytest.fixture(scope="module")
def ranked() -> Ranked:
    return train_ranks(MODELS / "tiny_gpt.onnx", "zero2:4", batch=4)


@pytest.fixture(scope="module")
def fit() -> Fit:
    return graphmem.fit(MODELS / "tiny_cnn.onnx", "4GB", train=True)


@pytest.fixture(scope="module")
def verification() -> Verification:
    parting = Parting(3, LONG, "Conv", "4,096 bytes", "8,192 bytes")
    trials = (
        Trial("first run", SessionOptions(), 1 << 30, 1 << 30),
        Trial("later runs", SessionOptions(), 5, 9, parting),
    )
    return Verification("model", "1.31", "of allocations that " * 9, "what is not " * 9, trials)


@pytest.fixture(scope="module")
def moved() -> Comparison:
    changes = tuple(Change(f"{LONG}{i}", 1 << 30, None, 1 << 20, 1 << 28) for i in range(30))
    return Comparison("old", LONG, (Change("peak", 1, 1 << 40, None, None),), changes, changes)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    width: int, training: Training, ranked: Ranked, fit: Fit, verification: Verification, moved: Comparison
) -> None:
    analysis = graphmem.analyze(MODELS / "tiny_gpt.onnx")
    texts = {
        "analysis": analysis_text(analysis, width),
        "training": training_text(training, width),
        "ranks": ranks_text(ranked, width),
        "fit": fit_text(fit, width),
        "verification": verification_text(verification, width),
        "comparison": comparison_text(moved, width),
        "same": comparison_text(compare(analysis, analysis), width),
    }
    for name, text in texts.items():
        assert max(map(cell_len, text.split("\n"))) <= width, name


@pytest.mark.parametrize("kind", ["ranks", "fit", "verification"])
def test_documents_follow_their_schemas(kind: str, ranked: Ranked, fit: Fit, verification: Verification) -> None:
    made: dict[str, Callable[[], str]] = {
        "ranks": lambda: ranks_json(ranked),
        "fit": lambda: fit_json(fit),
        "verification": lambda: verification_json(verification),
    }
    document = json.loads(made[kind]())
    jsonschema.validate(document, json.loads(schema_text(kind)))
    assert document["schema"] == f"graphmem.{kind}/1"


class Cards(HTMLParser):
    """The definitions of a page: what each card is called, its figure, and the small print."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tag = ""
        self.found: list[dict[str, str]] = []
        self.data = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tag = "data" if ("id", "data") in attrs else tag
        if tag == "dt":
            self.found.append({})

    def handle_data(self, data: str) -> None:
        if self.tag in ("dt", "dd", "small") and self.found:
            self.found[-1].setdefault(self.tag, data)
        self.data += data if self.tag == "data" else ""
        self.tag = ""


def test_every_figure_of_the_page_is_that_of_the_record(training: Training) -> None:
    analysis = graphmem.analyze(MODELS / "resnet18.onnx", batch=2)
    profiles = [inference_profile(analysis), training_profile(training)]
    page = Cards(report_html(analysis, profiles, None, training))
    run, allocator = analysis.inference, training.allocator
    assert allocator is not None
    figures = [
        ("peak", size(analysis.peak_with_weights)),
        ("weights", size(analysis.model.weight_bytes)),
        ("activations at peak", size(run.peak)),
        ("without reuse", size(run.total_bytes)),
        ("peak", size(training.peak)),
        ("most in each phase", size(training.phase_peaks["forward"])),
        ("saved activations", size(training.saved_bytes)),
        ("before the step", size(training.baseline)),
        ("allocator reserves", size(allocator.reserved)),
    ]
    cards = [(card["dt"], card["dd"]) for card in page.found]
    assert [card for card in cards if card in figures] == figures
    small = {card["dt"]: card.get("small", "") for card in page.found}
    assert small["weights"] == f"{count(analysis.model.parameters)} parameters"
    for phase in PHASES[1:]:
        assert f"{phase} {size(training.phase_peaks[phase])}" in small["most in each phase"]
    for document, profile in zip(json.loads(page.data), profiles, strict=True):
        assert (document["peak"], document["peakStep"]) == (profile.timeline.peak, profile.timeline.peak_step)
        assert sum(column(live) for _, live in document["bands"]).tolist() == profile.timeline.live.tolist()
        assert len(document["tensor"]["name"]) == len(profile.tensors)


def column(packed: Any) -> Any:
    """A column of differences as the page's script reads it: page/data.js."""
    listed = packed if isinstance(packed, list) else np.repeat(packed["r"][::2], packed["r"][1::2])
    return np.cumsum(listed)


@pytest.fixture(scope="module", params=["tiny_if", "tiny_lstm", "tiny_gpt", "step"])
def profile(request: pytest.FixtureRequest, training: Training) -> Profile:
    if request.param == "step":
        return training_profile(training)
    return inference_profile(graphmem.analyze(MODELS / f"{request.param}.onnx"))


@pytest.mark.parametrize("level", LEVELS)
def test_a_drawing_of_the_whole_loses_no_step(profile: Profile, level: str) -> None:
    groups = LEVELS[level](profile)
    assert len(groups) == len(profile.schedule.steps)
    assert sorted(set(groups)) == list(range(max(groups) + 1))
    made = picture(profile, "", level, around_peak=False)
    assert [box.step for box in made.boxes] == [groups.index(group) for group in range(max(groups) + 1)]
    assert dot(made).count("fillcolor") == svg(made).count('<g class="node') == len(made.boxes)
    assert max(box.share for box in made.boxes) == 1.0


def test_a_fleet_fits_its_terminal_but_for_the_settings() -> None:
    rows = list(graphmem.sweep([MODELS / "tiny_cnn.onnx"], {"batch": [1, 2], "device": ["4GB"]}, jobs=1))
    text = fleet_text(overview(rows, None), None, 80)
    assert max(map(len, text.split("\n"))) <= 80
    peak = max(row.peak_bytes or 0 for row in rows)
    assert size(peak) in text
    assert re.search(r"\b2 rows", text)
