"""Soft labels: how sure a preference is, from how people voted."""

from collections.abc import Mapping
from dataclasses import replace

from urt_core.records import Preference, PreferenceRecord

HARD_LABELS = {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}


def probability_first(record: PreferenceRecord, *, pseudo_votes: float = 1.0) -> float | None:
    """Probability that the first candidate is preferred; None where the record has no label.

    (first + tie / 2 + pseudo_votes / 2) / (first + second + tie + pseudo_votes): the mean of a Beta posterior with a symmetric prior
    (Bishop, "Pattern Recognition and Machine Learning", eq. 2.20), a tie counting half for each side. Three votes of three then
    mean 0.875, thirty of thirty 0.98. Where only shares are published (they sum to 1) their number is unknown and the share itself is taken.
    Without votes the label counts as one vote.
    """
    votes = record.metadata.get("votes")
    if not isinstance(votes, Mapping):
        if record.preference is None:
            return None
        return (HARD_LABELS[record.preference] + pseudo_votes / 2) / (1 + pseudo_votes)
    first, second, tie = (float(votes.get(side, 0.0)) for side in ("first", "second", "tie"))
    total = first + second + tie
    if 0 < total <= 1 + 1e-6:
        return (first + tie / 2) / total
    return (first + tie / 2 + pseudo_votes / 2) / (total + pseudo_votes) if total + pseudo_votes else None


def with_soft_label(record: PreferenceRecord, *, pseudo_votes: float) -> PreferenceRecord:
    """The record with `metadata["soft_label"] = {"first": p, "second": 1 - p}`, where there is a label."""
    probability = probability_first(record, pseudo_votes=pseudo_votes)
    if probability is None:
        return record
    return replace(
        record, metadata={**record.metadata, "soft_label": {"first": probability, "second": 1 - probability}}
    )
