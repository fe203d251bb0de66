"""The promises of the layout: layers, public names, and what lies at the top."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import eoscale
from eoscale.model.recipe import schema

ROOT = Path(__file__).parents[1]


def test_the_layers_hold() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(  # noqa: S603  the linter's own entry point
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_every_public_name_is_there_and_documented() -> None:
    assert eoscale.__all__ == sorted(eoscale.__all__)
    for name in eoscale.__all__:
        assert getattr(eoscale, name).__doc__, name


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((ROOT / "recipes" / "recipe.schema.json").read_text(encoding="utf-8"))
    assert published == schema()


def test_the_constraints_name_versions_and_nothing_else() -> None:
    lines = (ROOT / "cluster" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        name, equals, version = pin.partition("==")
        assert name, pin
        assert equals, pin
        assert version[0].isdigit(), pin
