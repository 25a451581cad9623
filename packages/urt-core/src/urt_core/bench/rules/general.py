"""Rules that any set of pairs can be counted by."""

from urt_core.bench.rules.rule import Rule

GIVEN_ONLY = Rule(
    name="given_only",
    wording="right where the verdict in the given order is the label",
    only_given=True,
    is_error="one order hides a preference for a place: where the better candidate stands first more often, so does always saying so",
)

BOTH_ORDERS = Rule(
    name="both_orders", orders="both", wording="right only where the verdicts of both orders are the label"
)

ANSWERED = Rule(
    name="answered",
    wording="only pairs with a better candidate on which the verdict names one; ties and unreadable output leave the denominator",
    predicted_ties="left_out",
    unreadable="left_out",
    is_error="a judge that answers the easy half alone looks better than one that answers everything",
)


def pair_accuracy(*, wording: str, source: str = "", commit: str = "", groups: str = "") -> Rule:
    return Rule(name="pair_accuracy", wording=wording, source=source, commit=commit, groups=groups)
