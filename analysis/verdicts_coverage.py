"""What a study says of mode coverage, in a sentence."""

from analysis.statistics.coverage import all_covered, by_trial, has_modes
from analysis.tables import SpaceResults
from study.data import dataset_named


def coverage(results: SpaceResults) -> str:
    """How many completed trials reach all modes in all their seeds, and what the best trial reaches."""
    if not has_modes(results):
        known = "no evaluation has counted them yet" if _declares_modes(results) else "the data have no modes"
        return f"{results.label}: mode coverage is unknown: {known}."
    share = all_covered(results)
    if share is None:
        return f"{results.label}: no trial is completed, so none covers all modes to the end."
    best = by_trial(results).set_index("trial_id").loc[results.best]
    several = f"{best['seeds']:.0f} seeds, {best['low']:.0%} to {best['high']:.0%}"
    seeds = several if best["seeds"] > 1 else "one seed"
    of = "" if results.maps else " (chosen by a search for the best)"
    interval = f"95% interval {share.low:.0%} to {share.high:.0%}, Wilson"
    return (
        f"{results.label}: {share.found} of {share.n} completed trials{of} cover all modes in all of their "
        f"{results.plan.seeds} seeds ({share.found / share.n:.0%}, {interval}); the best trial, "
        f"{results.best}, covers {best['mode_coverage']:.0%} ({seeds})."
    )


def _declares_modes(results: SpaceResults) -> bool:
    return dataset_named(results.plan.dataset).modes is not None
