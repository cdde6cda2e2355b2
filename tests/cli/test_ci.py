"""CI use: gates that fail with exit code 1 and a line each, in every format; diffs; completion; files written."""

from __future__ import annotations

import json
import os
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import Finished

Write = Callable[..., Path]
Run = Callable[..., Finished]
MODELS = Path(__file__).parents[2] / "models"
RESNET = MODELS / "resnet50.onnx"  # peak 106.88 MiB = 97.70 MiB of weights + 9.19 MiB
# The parts of SARIF 2.1.0 (section 3) that a result with a location uses.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string", "format": "uri"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {"shortDescription": {"required": ["text"]}},
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"type": "object", "required": ["text"]},
                                "locations": {"type": "array"},
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def graphmem(graphmem_command: Run) -> Run:
    return graphmem_command


def test_each_failing_gate_has_a_line_and_the_exit_code_is_1(graphmem: Run) -> None:
    code, out, _ = graphmem(
        "check", RESNET, "--max-peak", "100MiB", "--max-activations", "9MiB", "--max-weights", "1GB"
    )
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["FAIL", "FAIL", "ok"]
    assert "106.88 MiB > 100.00 MiB (step 13, BatchNormalization in layer1.0.downsample.1)" in out


def test_a_limit_that_is_just_met_passes(graphmem: Run) -> None:
    assert graphmem("check", RESNET, "--max-activations", 3 * 256 * 56 * 56 * 4)[0] == 0  # three float32 tensors
    assert graphmem("check", RESNET, "--max-activations", 3 * 256 * 56 * 56 * 4 - 1)[0] == 1


def test_a_baseline_is_a_model_or_its_json(graphmem: Run, tmp_path: Path) -> None:
    baseline = tmp_path / "main.json"
    graphmem(RESNET, "--format", "json", "-o", baseline)
    assert graphmem("check", RESNET, "--baseline", baseline)[0] == 0
    assert graphmem("check", RESNET, "--baseline", RESNET, "--max-increase", "2%")[0] == 0
    document = json.loads(baseline.read_text())
    document["model"]["weight_bytes"] -= 2 << 20  # 106.88 MiB is 1.9 % above 104.88 MiB
    baseline.write_text(json.dumps(document))
    assert graphmem("check", RESNET, "--baseline", baseline, "--max-increase", "2%")[0] == 0
    assert graphmem("check", RESNET, "--baseline", baseline, "--max-increase", "1.9%")[0] == 1


def test_an_incomplete_figure_never_passes_a_gate(graphmem: Run, model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[4] x) => (float[n] y) { a = acme.Magic (x) y = Relu(a) }""")
    code, out, _ = graphmem("check", path, "--max-peak", "1GiB")
    assert code == 1
    assert ">= 16 B <= 1.00 GiB, and the figure is incomplete" in out


def test_pyproject_sets_limits_per_model(graphmem: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(f"""
    [[tool.graphmem.models]]
    path = "{RESNET.as_posix()}"
    batch = 2
    max-activations = "18.4MiB"
    [[tool.graphmem.models]]
    path = "{(MODELS / "gpt2.onnx").as_posix()}"
    dims = {{ sequence = 8 }}
    max-peak = "1MiB"
    """)
    code, out, _ = graphmem("check")
    assert code == 1
    assert [line[:4] for line in out.splitlines()] == ["FAIL", "ok  "]
    Path("pyproject.toml").write_text('[[tool.graphmem.models]]\npath = "a.onnx"\nmax-peek = "1GB"\n')
    code, _, err = graphmem("check")
    assert code == 2
    assert "unknown key 'max-peek'" in err


TINY = MODELS / "tiny_cnn.onnx"


def lines_of(out: str) -> list[tuple[str, str]]:
    """(ok or FAIL, gate) of every line."""
    return [(line[:4].strip(), line.split("--")[1].split()[0]) for line in out.splitlines()]


def test_training_gates_hold_the_figures_of_train(graphmem: Run) -> None:
    _, out, _ = graphmem("train", TINY, "--batch", 2, "--optimizer", "adamw", "--format", "json")
    peak = json.loads(out)["peak_bytes"]
    options = ("--batch", 2, "--optimizer", "adamw")
    assert graphmem("check", TINY, *options, "--max-train-peak", peak)[0] == 0
    code, out, _ = graphmem("check", TINY, *options, "--max-train-peak", peak - 1)
    assert (code, lines_of(out)) == (1, [("FAIL", "max-train-peak")])


def test_a_device_is_held_against_inference_or_training(graphmem: Run) -> None:
    code, out, _ = graphmem("check", RESNET, "--batch", 8, "--device", "900MiB")  # 450 MiB are left beside the context
    assert (code, lines_of(out)) == (0, [("ok", "device")])
    assert "226.00 MiB <= 450.00 MiB" in out
    code, out, _ = graphmem("check", RESNET, "--batch", 8, "--device", "900MiB", "--train")
    assert code == 1
    assert "training on 900MiB, reserved by PyTorch's caching allocator" in out
    assert "908.00 MiB > 450.00 MiB" in out
    assert "not counted: cuDNN workspace of 53 aten::conv2d" in out
    assert graphmem("check", RESNET, "--device", "rtx 30600")[0] == 2


def test_what_a_library_may_hold_unseen_is_not_proved_to_fit(graphmem: Run) -> None:
    code, out, _ = graphmem("check", MODELS / "tiny_lstm.onnx", "--batch", 2, "--train", "--device", "rtx 3060")
    assert code == 1
    assert "the figure is incomplete" in out
    assert "cuDNN workspace of 1 aten::lstm" in out


def test_a_least_batch_is_held_against_the_limits_on_peaks(graphmem: Run) -> None:
    options = ("check", RESNET, "--batch", 1, "--max-peak", "171.3MiB", "--min-batch")
    assert graphmem(*options, 8)[0] == 0
    code, out, _ = graphmem(*options, 9)
    assert (code, lines_of(out)) == (1, [("FAIL", "min-batch"), ("ok", "max-peak")])
    assert graphmem("check", RESNET, "--min-batch", 8)[0] == 2


def test_an_arena_is_held_against_its_plan(graphmem: Run) -> None:
    assert graphmem("check", RESNET, "--batch", 1, "--max-arena", 9_633_792)[0] == 0
    assert graphmem("check", RESNET, "--batch", 1, "--max-arena", 9_633_791)[0] == 1


CONFIG = """
[[tool.graphmem.models]]
path = "{path}"
batch = 2
min-batch = 4
device = "4GB"
max-arena = "1MiB"
max-train-peak = "1KiB"
train = {{ optimizer = "adamw", freeze = ["head.*"] }}
"""


def test_pyproject_sets_limits_on_training(graphmem: Run, tmp_path: Path) -> None:
    config = tmp_path / "limits.toml"
    config.write_text(CONFIG.format(path=TINY.as_posix()))
    code, out, _ = graphmem("check", "--config", config)
    gates = [
        ("FAIL", "min-batch"),
        ("FAIL", "max-train-peak"),
        ("ok", "min-batch"),
        ("ok", "device"),
        ("ok", "max-arena"),
    ]
    assert (code, sorted(lines_of(out))) == (1, sorted(gates))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('train = { optimiser = "adamw" }', "unknown key 'optimiser' of train"),
        ("train = { optimizer = 3 }", "optimizer '3' is not one of"),
        ('batch = "8"', "batch is a number"),
        ('device = "gtx 9999"', "not in the catalogue"),
        ("dims = 3", "dims is a table"),
        ('train = { optimizer = "adamax" }', "optimizer 'adamax' is not one of"),
    ],
)
def test_a_slip_in_pyproject_is_one_clear_line(graphmem: Run, tmp_path: Path, line: str, said: str) -> None:
    config = tmp_path / "limits.toml"
    config.write_text(f'[[tool.graphmem.models]]\npath = "{TINY.as_posix()}"\nmax-peak = "1GB"\n{line}\n')
    code, _, err = graphmem("check", "--config", config)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_training_step_differs_from_itself_in_nothing(graphmem: Run) -> None:
    _, out, _ = graphmem("diff", TINY, TINY, "--batch", 2, "--train", "--format", "json")
    assert json.loads(out)["empty"]
    assert "training_peak_bytes" in json.loads(out)["figures"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_diff_drops_columns_and_cuts_no_figure(graphmem: Run, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = graphmem("diff", MODELS / "resnet18.onnx", RESNET, "--batch", 2)
    assert max(map(len, out.partition("modules")[2].splitlines())) <= width
    assert "change at peak" in out
    assert ("peak was" in out) == (width == 140)


@pytest.mark.parametrize("viewer", ["torch-snapshot", "trace", "speedscope", "csv"])
def test_a_training_step_is_exported_where_it_can_be(graphmem: Run, tmp_path: Path, viewer: str) -> None:
    target = tmp_path / "step"
    assert graphmem("export", TINY, "--batch", 2, "--train", "--to", viewer, "-o", target)[0] == 0
    assert target.read_bytes() != b""


def test_viewers_of_the_models_own_nodes_refuse_a_training_step(graphmem: Run, tmp_path: Path) -> None:
    code, _, err = graphmem("export", TINY, "--train", "--to", "netron", "-o", tmp_path / "x.json")
    assert code == 2
    assert "take torch-snapshot, trace, speedscope, csv" in err


@pytest.mark.parametrize("kind", ["check", "diff"])
def test_json_follows_the_schema_that_is_shipped(graphmem: Run, kind: str) -> None:
    arguments = {"check": (RESNET, "--max-peak", "1GiB"), "diff": (RESNET, MODELS / "resnet18.onnx")}[kind]
    _, schema, _ = graphmem("schema", kind)
    _, out, _ = graphmem(kind, *arguments, "--format", "json")
    jsonschema.validate(json.loads(out), json.loads(schema), cls=jsonschema.Draft202012Validator)


def test_sarif_has_the_shape_that_its_schema_demands(graphmem: Run) -> None:
    _, out, _ = graphmem("check", RESNET, "--max-peak", "1MiB", "--max-weights", "1GiB", "--format", "sarif")
    document = json.loads(out)
    jsonschema.validate(document, SARIF, cls=jsonschema.Draft202012Validator)
    assert [(r["kind"], r["level"]) for r in document["runs"][0]["results"]] == [("fail", "error"), ("pass", "none")]


def test_sarif_follows_the_official_schema(graphmem: Run) -> None:
    path = os.environ.get("SARIF_SCHEMA", "")
    if not Path(path).is_file():
        pytest.skip("NOT HELD AGAINST THE OFFICIAL SARIF SCHEMA: set SARIF_SCHEMA to sarif-schema-2.1.0.json of OASIS")
    limits = ("--max-train-peak", "1KiB", "--device", "4GB", "--max-arena", "1MiB", "--min-batch", 4)
    _, out, _ = graphmem("check", TINY, "--batch", 2, *limits, "--max-peak", "1KiB", "--format", "sarif")
    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(out), schema, cls=jsonschema.Draft4Validator)
    assert len(json.loads(out)["runs"][0]["results"]) == 7


def test_github_junit_and_markdown_say_the_same(graphmem: Run) -> None:
    gates = ("check", RESNET, "--max-peak", "1MiB", "--max-weights", "1GiB", "--format")
    _, github, _ = graphmem(*gates, "github")
    assert github.splitlines()[0].startswith("::error title=graphmem max-peak,file=")
    junit = xml.dom.minidom.parseString(graphmem(*gates, "junit")[1])
    assert junit.documentElement.getAttribute("failures") == "1"
    assert len(junit.getElementsByTagName("failure")) == 1
    assert graphmem(*gates, "markdown")[1].count("| ❌ |") == 1


def test_hostile_paths_cannot_break_out_of_a_format(graphmem: Run, model: Write) -> None:
    path = model("g (float[4] x) => (float[4] y) { y = Exp(x) }", name="a,b%::error::|<b>&.onnx")
    gates = ("check", path, "--max-peak", "1B", "--format")
    _, github, _ = graphmem(*gates, "github")
    assert len(github.splitlines()) == 1
    assert "a%2Cb%25%3A%3Aerror%3A%3A|<b>&.onnx" in github
    xml.dom.minidom.parseString(graphmem(*gates, "junit")[1])
    assert "<b>" not in graphmem(*gates, "markdown")[1]


@pytest.mark.parametrize("format_", ["table", "markdown", "json"])
def test_a_model_differs_from_itself_in_nothing(graphmem: Run, format_: str) -> None:
    code, out, _ = graphmem("diff", RESNET, RESNET, "--format", format_)
    assert code == 0
    assert "othing moved" in out or json.loads(out)["empty"]
    if format_ == "json":
        assert json.loads(out)["modules"] == json.loads(out)["tensors"] == []


def test_a_diff_says_what_moved_in_all_and_at_the_peak(graphmem: Run, model: Write) -> None:
    old = model("g (float[4] x) => (float[4] y) { a = Exp(x) y = Neg(a) }", name="old.onnx")
    new = model("g (float[4] x) => (double[4] y) { a = Exp(x) y = Cast<to=11>(a) }", name="new.onnx")
    _, out, _ = graphmem("diff", old, new, "--format", "json")
    document = json.loads(out)
    row = {"name": "y", "old_bytes": 16, "new_bytes": 32, "old_at_peak_bytes": 0, "new_at_peak_bytes": 32}
    assert row in document["tensors"]  # the old peak, 32 bytes, is reached with x and a, before y is made
    assert document["figures"]["activation_peak_bytes"] == {"old": 32, "new": 48}


def test_the_model_itself_is_never_written(graphmem: Run, model: Write) -> None:
    path = model("g (float[4] x) => (float[4] y) { y = Exp(x) }")
    before = path.read_bytes()
    for command in (("export", path, "--to", "onnx"), ("report", path)):
        code, _, err = graphmem(*command, "-o", path)
        assert code == 2
        assert "is the model itself" in err
    assert path.read_bytes() == before


@pytest.mark.parametrize("viewer", ["torch-snapshot", "netron", "model-explorer", "speedscope", "trace", "csv", "onnx"])
def test_every_export_is_written_and_the_same_twice(graphmem: Run, tmp_path: Path, viewer: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for target in (first, second):
        assert graphmem("export", MODELS / "tiny_cnn.onnx", "--to", viewer, "-o", target)[0] == 0
    assert first.read_bytes() == second.read_bytes() != b""


def test_lifetimes_go_from_export_to_plan(graphmem: Run, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    graphmem("export", RESNET, "--to", "csv", "-o", rows)
    code, out, _ = graphmem("plan", "--lifetimes", rows, "--format", "json")
    assert code == 0
    assert json.loads(out)["arena_bytes"] == 9_633_792


def test_draw_and_report_write_files_by_their_ending(graphmem: Run, tmp_path: Path) -> None:
    assert graphmem("draw", RESNET, "-o", tmp_path / "a.gv")[0] == 0
    assert (tmp_path / "a.gv").read_text().startswith("digraph")
    assert graphmem("draw", RESNET, "--level", "block", "-o", tmp_path / "a.svg")[0] == 0
    assert graphmem("draw", RESNET, "-o", tmp_path / "a.jpg")[0] == 2
    assert graphmem("report", RESNET, "--device-memory", "4GiB", "-o", tmp_path / "a.html")[0] == 0
    assert "<b>" not in (tmp_path / "a.html").read_text().partition("<main>")[0]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_its_command(graphmem: Run, shell: str) -> None:
    code, out, _ = graphmem("completion", shell)
    assert code == 0
    assert "_GRAPHMEM_COMPLETE" in out


def test_a_report_draws_the_frontier_and_the_plan_that_fits(graphmem: Run, tmp_path: Path) -> None:
    _, out, _ = graphmem("train", TINY, "--batch", 8, "--format", "json")
    most, page = json.loads(out)["peak_bytes"], tmp_path / "page.html"
    options = ("--batch", 8, "--frontier", "--timeout", 2, "--device-memory", most - 1)
    assert graphmem("report", TINY, *options, "-o", page)[0] == 0
    data = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    found = json.loads(data)[1]["frontier"]
    assert found["baseline"] == most
    peaks = [point["peak"] for point in found["points"]]
    assert peaks == sorted(peaks, reverse=True)
    assert all(point["bound"] <= point["overhead"] for point in found["points"])
    fitting = [i for i, peak in enumerate(peaks) if peak < most]
    assert found["chosen"] == (fitting[0] if fitting else None)


def test_a_frontier_of_another_step_than_the_one_shown_is_refused(graphmem: Run, tmp_path: Path) -> None:
    code, _, err = graphmem("report", TINY, "--frontier", "--accumulate", 2, "-o", tmp_path / "page.html")
    assert code == 2
    assert "give --frontier or --accumulate" in err


def test_a_pruned_model_is_pruned_in_both_tabs(graphmem: Run, tmp_path: Path) -> None:
    page, options = tmp_path / "page.html", ("--batch", 2, "--prune", 0.5)
    assert graphmem("report", TINY, *options, "--train", "-o", page)[0] == 0
    _, inference, _ = graphmem("analyze", TINY, *options, "--format", "json")
    _, training, _ = graphmem("train", TINY, *options, "--format", "json")
    runs = json.loads(page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0])
    peaks = [json.loads(inference)["inference"]["activation_peak_bytes"], json.loads(training)["peak_bytes"]]
    assert [run["peak"] for run in runs] == peaks
