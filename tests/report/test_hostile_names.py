"""A model whose tensors, nodes and modules bear hostile names: nothing escapes from any format, as its parser sees."""

from __future__ import annotations

import ast
import csv
import io
import json
import pickle
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jsonschema
import onnx
import pytest
from markdown_it import MarkdownIt
from onnx import TensorProto, helper

import graphmem
from graphmem.cli.plan import arena_plan
from graphmem.ir.analysis import Analysis
from graphmem.ir.gate import Gate
from graphmem.ir.memory import Plan
from graphmem.ir.profile import Profile
from graphmem.ir.quoting import csv_name, shown
from graphmem.ir.recompute import (
    Course,
    Frontier,
    Habit,
    Judged,
    ModelFrontier,
    Operation,
    Point,
    Recompute,
    Wrap,
    WrapPlan,
)
from graphmem.ir.training import Training
from graphmem.memory.comparison import compare
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile
from graphmem.planner.table import table_of, table_text
from graphmem.report import analysis as analyses
from graphmem.report.checkpoint_code import code
from graphmem.report.comparison import comparison_json, comparison_markdown, comparison_text
from graphmem.report.drawing.dot import dot
from graphmem.report.drawing.picture import picture
from graphmem.report.drawing.svg import svg
from graphmem.report.envelope import schema_text
from graphmem.report.exports import viewers
from graphmem.report.exports.snapshot import snapshot
from graphmem.report.frontier import model_frontier_json, model_frontier_text
from graphmem.report.gates import GATE_FORMATS
from graphmem.report.page.page import report_html
from graphmem.report.plan import plan_header, plan_json, plan_table
from graphmem.report.training import training_json, training_text
from tests.hostile import HOSTILE

GCC = shutil.which("gcc")
TAME = "tame"


class Found(NamedTuple):
    """All that is known of one network."""

    name: str
    analysis: Analysis
    training: Training
    plan: Plan
    profile: Profile
    step: Profile


def network(name: str) -> onnx.ModelProto:
    """Three layers of a product and a Relu, with the name in every place that takes one."""
    nodes, weights, value = [], [], f"x{name}"
    for i in range(3):
        scope = f"layer.{i}{name}"
        places = {
            "pkg.torch.onnx.name_scopes": repr(["", scope, f"{scope}.lin{name}", f"c{i}{name}"]),
            "pkg.torch.onnx.class_hierarchy": repr(["M", f"L{name}", "Linear", "aten.linear.default"]),
        }
        weight = f"{scope}.w"
        weights.append(helper.make_tensor(weight, TensorProto.FLOAT, (16, 16), bytes(4 * 256), raw=True))
        pair = (
            helper.make_node("MatMul", [value, weight], [f"{name}c{i}"], f"{name}n{i}"),
            helper.make_node("Relu", [f"{name}c{i}"], [f"{name}r{i}"], f"{name}m{i}"),
        )
        for node in pair:
            node.metadata_props.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in places.items())
        nodes += pair
        value = f"{name}r{i}"
    inputs = [helper.make_tensor_value_info(f"x{name}", TensorProto.FLOAT, [f"b{name}", 16])]
    outputs = [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Found]:
    """What is found of the network of that name; each is worked out once."""

    @cache
    def of(name: str) -> Found:
        path = tmp_path_factory.mktemp("hostile") / "model.onnx"
        onnx.save(network(name), path)
        analysis, training = graphmem.analyze(path, batch=4), graphmem.train(path, batch=4, loss="sum")
        plan = arena_plan(analysis)
        assert plan is not None
        step = training_profile(training)
        analysis = replace(analysis, model=replace(analysis.model, name=name))  # that of the file
        training = replace(training, model=replace(training.model, name=name))
        return Found(name, analysis, training, plan, inference_profile(analysis, plan), step)

    return of


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(found: Callable[[str], Found], request: pytest.FixtureRequest) -> Found:
    return found(request.param)


def gates_of(found: Found) -> list[Gate]:
    where = f"step 0, MatMul in '{found.name}n0'"
    return [Gate(f"{found.name}.onnx", "max-peak", "peak", 2, limit, where=where) for limit in (1, 3)]


def frontier_of(name: str) -> ModelFrontier:
    """Values of modules of that name: a is computed again, b and c are kept; a and c have one role."""
    operations = (
        Operation(f"a{name}", 1 << 20, 10, scope=f"m.0{name}", operator=f"aten::mm{name}"),
        Operation(f"b{name}", 1 << 20, 10, scope=f"m.1{name}", operator=f"aten::bmm{name}"),
        Operation(f"c{name}", 1 << 20, 10, scope=f"m.2{name}", operator=f"aten::mm{name}"),
        Operation(f"g{name}", 1 << 10, 20, backward=True),
    )
    question = Recompute(operations, ((), (0,), (1,), (0, 1, 2)), name=name)
    kept = Judged(Course((0, 1, 2, 3), ((), (), (), (0, 1, 2))), 4 << 20, 50, "keep all")
    again = Judged(Course((0, 1, 2, 0, 3), ((), (0,), (), (), (0, 1, 2))), 3 << 20, 60, f"strategy {name}")
    points = (Point(4 << 20, kept, 50), Point(3 << 20, again, 55))
    wraps = (
        WrapPlan((Wrap(f"m.0{name}", f"L{name}"),), 2 << 20, 12, f"wrap {name}", (f"a{name}",)),
        WrapPlan((Wrap(f"m.1{name}", f"L{name}", (f"mm{name}#0",)),), 2 << 20, 11, "selective", (f"b{name}",)),
    )
    operations_frontier = Frontier(question, kept, points, 1 << 20, 0, (f"note {name}",))
    habit = Habit("every block", wraps[0], 10)
    return ModelFrontier(operations_frontier, wraps, (habit,), (), f"advice {name}", "exact", 2 << 20, 2 << 20, 2 << 20)


def texts_of(found: Found) -> list[str]:
    """Every text for a terminal."""
    return [
        analyses.analysis_text(found.analysis),
        training_text(found.training),
        plan_table(found.plan),
        comparison_text(compare(found.analysis, found.analysis)),
        GATE_FORMATS["text"](gates_of(found)),
        model_frontier_text(frontier_of(found.name)),
    ]


def test_a_terminal_is_sent_nothing_but_printable_lines(hostile: Found) -> None:
    for text in texts_of(hostile):
        assert all(line.isprintable() for line in text.split("\n"))
    colour = re.sub(r"\x1b\[[0-9;]*m", "", analyses.analysis_text(hostile.analysis, color=True))
    assert [line.rstrip() for line in colour.split("\n")] == texts_of(hostile)[0].split("\n")


def test_a_terminal_shows_names_as_names_that_print(hostile: Found, found: Callable[[str], Found]) -> None:
    name = hostile.name
    if not name.isprintable() and name.split() == [name]:  # code keeps what does not print, escaped
        assert texts_of(hostile)[:-1] == texts_of(found(shown(name)))[:-1]


def test_documents_are_read_back_and_follow_their_schemas(hostile: Found) -> None:
    documents = {
        "analysis": analyses.analysis_json(hostile.analysis, tensors=True, timeline=True),
        "training": training_json(hostile.training, timeline=True),
        "plan": plan_json(hostile.plan),
        "diff": comparison_json(compare(hostile.analysis, hostile.analysis)),
        "check": GATE_FORMATS["json"](gates_of(hostile)),
        "checkpoint": model_frontier_json(frontier_of(hostile.name)),
    }
    for kind, text in documents.items():
        assert all(line.isprintable() for line in text.split("\n"))
        jsonschema.validate(json.loads(text), json.loads(schema_text(kind)))
    assert json.loads(documents["analysis"])["model"]["name"] == hostile.name
    assert f"{hostile.name}r0" in json.loads(documents["analysis"])["tensors"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    ("form", "statements"),
    [
        ("torch", ["ImportFrom", "ImportFrom", "Assign", "FunctionDef"]),
        ("sac", ["ImportFrom", "ImportFrom", "ImportFrom", "Assign", "FunctionDef", "FunctionDef"]),
        ("jax", ["Import", "Assign", "Assign"]),
        ("hf", None),
    ],
)
def test_emitted_python_is_what_was_meant_and_names_are_its_strings(
    form: str, statements: list[str] | None, name: str
) -> None:
    text = code(frontier_of(name), form)
    assert all(line.isprintable() for line in text.split("\n"))
    if statements is None:
        return
    tree = ast.parse(text)
    assert [type(statement).__name__ for statement in tree.body] == statements
    assigned = next(statement for statement in tree.body if isinstance(statement, ast.Assign))
    names = ast.literal_eval(assigned.value)
    expected: dict[str, Any] = {
        "torch": [f"m.0{name}"],
        "sac": {f"m.1{name}": [f"mm{name}#0"]},
        "jax": [re.sub(r"\d+", "N", f"m.1{name}") + f".bmm{name}"],
    }
    assert names == expected[form]


def test_a_c_header_is_comments_and_macros(hostile: Found, tmp_path: Path) -> None:
    header = plan_header(hostile.plan)
    assert header.isascii()
    assert all(re.fullmatch(r"/\* .* \*/|#(ifndef|define|endif)\b[ \w]*|", line) for line in header.split("\n"))
    if GCC is None:
        return
    path = tmp_path / "plan.c"
    path.write_text(f"{header}\nint one(void);\nint one(void) {{ return 1; }}\n")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-trigraphs", "-fsyntax-only", "-x", "c")
    subprocess.run([GCC, *flags, str(path)], check=True, capture_output=True)


def test_a_table_of_lifetimes_has_no_formula_and_is_read_back(hostile: Found) -> None:
    for text in (viewers.lifetimes_csv(hostile.profile), table_text(hostile.plan)):
        assert all(line.isprintable() for line in text.split("\n"))
        head, *rows = list(csv.reader(io.StringIO(text)))
        assert head == ["id", "lower", "upper", "size", "offset"]
        assert all(len(row) == 5 for row in rows)
        assert not any(row[0].lstrip().startswith(("=", "+", "-", "@")) for row in rows)
        assert all(cell.isdecimal() for row in rows for cell in row[1:])
        assert sorted(csv_name(row[0]) for row in rows) == sorted(hostile.profile.lifetimes.buffers)
        read = table_of(text).lifetimes
        assert sum(read.nbytes.tolist()) == sum(hostile.profile.lifetimes.nbytes.tolist())
        assert len(set(read.buffers)) == len(rows)


def test_markdown_has_cells_of_text(hostile: Found) -> None:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    root = ElementTree.fromstring(f"<all>{reader.render(GATE_FORMATS['markdown'](gates_of(hostile)))}</all>")
    assert {element.tag for element in root.iter()} <= {*["all", "table", "thead", "tbody", "tr", "th", "td", "code"]}
    for row in root.findall(".//tbody/tr"):
        assert len(row) == 6
        assert "".join(row[1].itertext()) == " ".join(shown(f"{hostile.name}.onnx").split())
    text = reader.render(comparison_markdown(compare(hostile.analysis, hostile.analysis)))
    assert not re.search(r"<(a|img|script|b|del)\b", text)


def test_annotations_of_github_are_two_lines(hostile: Found) -> None:
    lines = GATE_FORMATS["github"](gates_of(hostile)).split("\n")
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        kind, rest = line.removeprefix("::").split(" ", 1)
        properties, _, message = rest.partition("::")
        assert kind in ("error", "notice")
        assert [part.partition("=")[0] for part in properties.split(",")] == ["title", "file"]
        file = properties.partition(",file=")[2]
        assert file.replace("%3A", ":").replace("%2C", ",").replace("%25", "%") == shown(f"{hostile.name}.onnx")
        assert "\n" not in message


def test_junit_and_sarif_hold_the_names_as_text(hostile: Found) -> None:
    suite = ElementTree.fromstring(GATE_FORMATS["junit"](gates_of(hostile)))
    assert {element.tag for element in suite.iter()} == {"testsuite", "testcase", "failure"}
    assert {case.get("classname") for case in suite.iter("testcase")} == {shown(f"{hostile.name}.onnx")}
    for result in json.loads(GATE_FORMATS["sarif"](gates_of(hostile)))["runs"][0]["results"]:
        assert not re.search(r"(?<!\\)(?:\\\\)*\[", result["message"]["text"])
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w.~/%-]+", uri)


def strings_of_dot(text: str) -> tuple[str, list[str]]:
    """The text with its quoted strings left out, and the strings."""
    quoted = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
    return quoted.sub('""', text), quoted.findall(text)


def test_dot_is_that_of_a_tame_name_but_for_its_strings(hostile: Found, found: Callable[[str], Found]) -> None:
    skeletons = set()
    for one in (hostile, found(TAME)):
        skeleton, strings = strings_of_dot(dot(picture(one.profile, f"title {one.name}", "scope", around_peak=False)))
        skeletons.add(re.sub(r'label=\w+|""', "", skeleton))
        assert all(line.isprintable() for string in strings for line in string.split("\n"))
    assert len(skeletons) == 1


class Tags(HTMLParser):
    """What elements and attributes a page has, and the data in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.data: list[str] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[f"{tag} {sorted(name for name, _ in attrs)}"] += 1
        self.inside = "data" if ("id", "data") in attrs else ""

    def handle_data(self, data: str) -> None:
        if self.inside == "data":
            self.data.append(data)
            self.inside = ""


def test_pages_have_the_elements_of_a_tame_name(hostile: Found, found: Callable[[str], Found]) -> None:
    tame, pages = found(TAME), []
    for one in (hostile, tame):
        html = report_html(one.analysis, [one.profile, one.step], 1 << 20, one.training)
        assert all(line.isprintable() for line in html.split("\n"))
        pages.append(Tags(html))
        pages[-1].seen += Tags(one.analysis._repr_html_()).seen  # type: ignore[attr-defined]
        pages[-1].seen += Tags(one.training._repr_html_()).seen  # type: ignore[attr-defined]
    assert pages[0].seen == pages[1].seen
    assert shown(f"{hostile.name}r0") in json.loads("".join(pages[0].data))[0]["tensor"]["name"]


def test_drawings_have_the_elements_of_a_tame_name(hostile: Found, found: Callable[[str], Found]) -> None:
    elements = []
    for one in (hostile, found(TAME)):
        text = svg(picture(one.profile, f"title {one.name}", "scope", around_peak=False))
        root = ElementTree.fromstring(text)
        assert all(line.isprintable() for line in text.split("\n"))
        assert f"title {shown(one.name)}" in [element.text for element in root.iter()]
        elements.append([(element.tag, sorted(element.keys())) for element in root.iter()])
    assert elements[0] == elements[1]


def test_files_for_viewers_hold_the_names_themselves(hostile: Found) -> None:
    name = hostile.name
    netron = json.loads(viewers.netron(hostile.profile))
    assert f"{name}r0" in {metric["target"] for metric in netron["metrics"]}
    frames = json.loads(viewers.speedscope(hostile.profile, name, "0"))["shared"]["frames"]
    assert f"{name}r0" in {frame["name"] for frame in frames}
    events = json.loads(viewers.trace(hostile.profile, name))["traceEvents"]
    assert events[0]["args"]["name"] == name
    assert pickle.loads(snapshot(hostile.profile))["segments"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_an_error_of_the_command_line_is_one_clear_line(name: str, graphmem_command: Any, tmp_path: Path) -> None:
    broken = network(name)
    broken.graph.node[2].input[0] = f"{name}?"
    onnx.save(broken, tmp_path / "broken.onnx")
    path = tmp_path / "broken.onnx"
    for arguments in ([path], [path, f"--{shown(name)[:50]}"]):
        ended = graphmem_command("analyze", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert all(line.isprintable() for line in ended.err.split("\n"))
        assert max(map(len, ended.err.split("\n"))) < 1300
