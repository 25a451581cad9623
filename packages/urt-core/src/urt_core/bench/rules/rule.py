"""Rules of benchmarks as data: what counts as right, what is left out, and how it adds up."""

from dataclasses import dataclass, field
from typing import Literal

from urt_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How judgements of pairs become a number.

    Rule(name="four_way", wording="right where the verdict is the label, with both good and both bad apart",
         source="TIGER-AI-Lab/GenAI-Bench inference.py", commit="f0b0334", labels="all", ties="four")
    """

    name: str
    wording: str
    """What it counts, in one sentence, for the head of a table."""
    source: str = ""
    """Where the rule is written down: repository and file, or paper."""
    commit: str = ""
    labels: Literal["decisive", "all"] = "decisive"
    """Which pairs count: those with a better candidate, or ties too."""
    ties: Literal["one", "four"] = "one"
    """Whether the two kinds of tie are one. In `four`, a plain tie is right for both."""
    orders: Literal["each", "both", "sum", "pooled"] = "each"
    """`each`: every order counts by itself, which gives the mean of both; `both`: right only where right in both;
    `sum`: +1 for a right order, -1 for the opposite one, right above 0; `pooled`: the majority of all votes, whatever
    their order."""
    only_given: bool = False
    """Judgements of the swapped order are not looked at."""
    predicted_ties: Literal["wrong", "left_out"] = "wrong"
    """What a tie is on a pair with a better candidate."""
    unreadable: Literal["wrong", "left_out"] = "wrong"
    threshold: float | Literal["best", "compat"] | None = None
    """Verdicts are made from margins: a tie where |margin| is at most this; `best` takes the threshold that gives the
    highest number, `compat` the sweep that stops within equal margins."""
    item_right: Literal["any", "all"] = "any"
    """`all`: an item counts once, and is right where all of its pairs are."""
    all_of_item: str = ""
    """The name of a second number by `item_right="all"`."""
    headline: str = "accuracy"
    """The name of the number over everything."""
    macro: str = ""
    """The name of the mean over groups; empty where the rule has none."""
    groups: str = ""
    """The name of the grouping in `urt_core.bench.rules.groups`; empty where numbers are not split."""
    is_error: str = ""
    """Of a rule that is a common mistake: what is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """A public set of pairs, and every rule under which numbers of it are published.

    Benchmark(name="genai_bench", title="GenAI-Bench", sizes={"image generation": 1735}, rules=(Rule(...), ...),
    official="four_way")
    """

    name: str
    title: str
    source: str
    """Repository or paper of the benchmark."""
    rules: tuple[Rule, ...]
    official: str
    """The name of its own rule, which is also found as `official`."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Part -> number of pairs (of lists, for `kind="lists"`); empty where it is not known."""
    shapes: tuple[str, ...] = ("urt",)
    """Which lines it takes: those of `urt bench run`, and published ones."""
    kind: Literal["pairs", "lists"] = "pairs"
    advice: str = ""
    """What goes wrong elsewhere with this benchmark."""

    def rule(self, name: str) -> Rule:
        wanted = self.official if name == "official" else name
        for rule in self.rules:
            if rule.name == wanted:
                return rule
        raise ConfigError(
            f"{self.name} has no rule {name!r}; allowed: official (which is {self.official}), "
            + ", ".join(rule.name for rule in self.rules)
        )
