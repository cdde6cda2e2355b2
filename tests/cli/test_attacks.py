"""Files made to make a command hang, crash, lie or act: every one is answered, or refused in one line, in little."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED, Finished

FOLDER = SHARED / "data" / "faults" / "attack"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text()) if FOLDER.is_dir() else []
# The reader's shapes and the quoting of names have tests of their own.
ELSEWHERE = {"wrong", "incomplete", "security"}
SHARED_CASES = [case for case in CASES if case["group"] not in ELSEWHERE]


def exactness(done: Finished) -> str:
    found = json.loads(done.out)
    return str(found.get("exactness"))


SLOW = {"ort-constant-folding", "ort-many-live", "ort-chain", "ort-convolutions", "fit-plateau", "fit-plateau-2"}


@pytest.mark.skipif(not CASES, reason="../shared is not here")
@pytest.mark.parametrize("case", SHARED_CASES, ids=[case["kind"] for case in SHARED_CASES])
def test_an_attack_is_answered_or_refused_in_one_line(
    guarded_command: Callable[..., Finished], case: Any, pytestconfig: pytest.Config
) -> None:
    if case["kind"] in SLOW and not pytestconfig.getoption("--all-networks"):
        pytest.skip("takes seconds; --all-networks asks")
    words = case["command"].split()[1:]
    done = guarded_command(*(str(FOLDER / word) if word == case["file"] else word for word in words))
    assert done.code in {0, 1, 2, 3}, done.err
    assert len(done.err.splitlines()) <= (0 if done.code == 0 else 8 if "Usage" in done.err else 1), done.err
    assert done.code != 2 or len(done.err) < 700
    if "unknown" in case["should"]:
        assert any(sign in done.out for sign in ("at least", ">= ", '"kind": "assumption"')), done.out
    if "exit 2" in case["should"]:
        assert done.code == 2


def test_the_limits_hold(guarded_command: Callable[..., Finished], tmp_path: Path) -> None:
    assert guarded_command("analyze", tmp_path / "none.onnx").code == 2
    assert guarded_command("--version").code == 0


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "NaN"])
@pytest.mark.parametrize(
    "option", [("checkpoint", "--ratio"), ("checkpoint", "--timeout"), ("analyze", "--prune"), ("train", "--dropout")]
)
def test_what_is_no_number_is_a_usage_error(
    guarded_command: Callable[..., Finished], model: Callable[..., Path], option: tuple[str, str], text: str
) -> None:
    command, flag = option
    done = guarded_command(command, model("g (float[4] x) => (float[4] y) { y = Exp (x) }"), flag, text)
    assert done.code == 2
    assert "Traceback" not in done.err
