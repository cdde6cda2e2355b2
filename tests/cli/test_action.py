"""The GitHub Action: its last step, run by bash as the runner does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "check" / "action.yml"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="NO ACTION TESTS: bash is not on this machine")


def last_step() -> str:
    """The script under the last `run: |`."""
    return textwrap.dedent(ACTION.read_text(encoding="utf-8").rpartition("run: |\n")[2])


def test_the_action_annotates_fails_and_writes_a_summary(tmp_path: Path) -> None:
    arguments = "'models/tiny_cnn.onnx' --batch 1 --max-peak 1KiB --device 'rtx 3060'"
    (tmp_path / "graphmem").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m graphmem "$@"\n')
    (tmp_path / "graphmem").chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    summary = tmp_path / "summary"
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT),
        "ARGUMENTS": arguments, "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", last_step()]
    run = subprocess.run(bash, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    kinds = [line.partition(",")[0] for line in run.stdout.splitlines()]
    assert kinds == ["::error title=graphmem max-peak", "::notice title=graphmem device"]
    assert [line[:3] for line in summary.read_text(encoding="utf-8").splitlines()[2:]] == ["| ❌", "| ✅"]
