"""Every recipe of the folder runs, and says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from eoscale.model.recipe import Recipe
from eoscale.model.vocabulary import Synthetic
from eoscale.run import run
from eoscale.run.progress import Silent

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_stands_in_the_table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert len(text.splitlines()) <= 40
    assert Recipe.from_file(path).title
    assert f"[{path.name}]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [path for path in RECIPES if isinstance(Recipe.from_file(path).granules, Synthetic)],
    ids=lambda path: path.stem,
)
def test_a_recipe_that_makes_its_granules_runs(
    path: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # outputs and made granules are relative to where one is
    recipe = Recipe.from_file(path, {"granules.synthetic": "3"})
    result = run(recipe, cluster=scheduler, watcher=Silent())
    assert result.ledger.counts()["failed"] == 0
    for column in recipe.columns:
        if recipe.reduce is None:
            rows = len(result.table()[column])
        else:
            rows = int(result.open()[f"{column}_count"].sum())
        assert rows == result.ledger.binned(column) > 0
