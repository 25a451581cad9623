"""An engine that is a panel: the votes on a pair come from several judges in turn (arXiv 2404.18796).

from urt_core import Scorer
from urt_core.engines.openai import OpenAIEngine
from panel_engine import PanelEngine

members = [OpenAIEngine(base_url=url, model=name) for url, name in (...)]
scorer = Scorer(engine=PanelEngine(members), votes=len(members))
"""

from collections.abc import Sequence
from dataclasses import replace

from urt_core import Completion, Engine, Prompt, SamplingParams


class PanelEngine:
    """`num_completions` of a prompt are spread over the members, the first ones first."""

    def __init__(self, members: Sequence[Engine]) -> None:
        if not members:
            raise ValueError("a panel needs a member")
        self.members = tuple(members)

    @property
    def model(self) -> str:
        return "panel of " + ", ".join(member.model for member in self.members)

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        shares, rest = divmod(sampling.num_completions, len(self.members))
        answers: list[list[Completion]] = [[] for _ in prompts]
        for place, member in enumerate(self.members):
            number = shares + (place < rest)
            if number == 0:
                continue
            found = member.generate(prompts, replace(sampling, num_completions=number))
            for mine, theirs in zip(answers, found, strict=True):
                mine += theirs
        return answers
