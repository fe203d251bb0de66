"""The failure policy: whether what became of the granules may be published (pure)."""

from __future__ import annotations

from fractions import Fraction

from eoscale.errors import IncompleteRunError
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.run.ledger import Ledger

_REASONS = 3
"""Of a message: more stand in the ledger."""


def may_fail(recipe: Recipe, granules: int) -> int:
    """Return how many granules may fail so that the result is still published: never all of them.

    Parameters
    ----------
    recipe : Recipe
        Its ``on_error`` and ``max_failed``.
    granules : int
        How many are to be read; skipped ones do not count.

    Examples
    --------
    >>> words = {"product": "ATL06", "variables": ["h_li"], "on_error": "record"}
    >>> may_fail(Recipe(**words), 30), may_fail(Recipe(**words, max_failed=3), 30)
    (29, 3)
    >>> may_fail(Recipe(**words, max_failed="5%"), 30)  # 1.5 granules
    1
    """
    if recipe.on_error == "raise":
        return 0
    match recipe.max_failed:
        case None:
            most = granules
        case int(number):
            most = number
        case share:
            # exact: 0.7 % of 1000 granules are 7, whatever binary fractions say
            most = int(Fraction(share.rstrip(" %")) * granules / 100)
    return max(min(most, granules - 1), 0)


def permit(ledger: Ledger, job: Job) -> None:
    """Refuse a result that the recipe does not allow to be published.

    Raises
    ------
    IncompleteRunError
        If more granules failed than may, or all of them; or if no row was binned and the recipe does not
        allow that.
    """
    failed, granules = ledger.counts()["failed"], len(job.granules)
    allowed = may_fail(job.recipe, granules)
    if failed > allowed:
        reasons = ledger.frame.loc[ledger.frame["status"] == "failed", "reason"].head(_REASONS)
        limit, advice = _told(job.recipe, allowed, everything=failed == granules)
        raise IncompleteRunError(
            f"{failed:,} of {granules:,} granules failed{limit}, so nothing was published: "
            f"{'; '.join(reasons)}; run again to try only those once more{advice}"
        )
    if not job.recipe.allow_empty and not any(ledger.binned(name) for name in job.columns):
        raise IncompleteRunError(
            f"no row was binned ({ledger.sentence()}), so nothing was published: "
            "look at region, period, quality and where, or set allow_empty"
        )


def _told(recipe: Recipe, allowed: int, *, everything: bool) -> tuple[str, str]:
    """Return which limit was passed, and what else than another try would help."""
    if everything:
        return "", ""
    if recipe.on_error == "raise":
        return "", ", or write on_error: record to publish without them"
    return f", {allowed:,} may (max_failed: {recipe.max_failed})", ", or raise max_failed"
