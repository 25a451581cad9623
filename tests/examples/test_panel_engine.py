"""An engine of a user's own, with the documented protocol and nothing else."""

from dataclasses import replace

from urt_core import Dialect, Media, MediaKind, PreferenceRecord, Scorer, Task
from urt_core.engines.scripted import ScriptedEngine

PICTURE = bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b")


def member(name: str, number: int) -> ScriptedEngine:
    """Prefers the same answer wherever it stands, or always what is shown first (number 0)."""

    def judge(prompt, index):
        shown_first = prompt.text.index("Two.") < prompt.text.index("Three.")
        preferred = 1 if number == 0 else number if shown_first else 3 - number
        return f"Answer {preferred} is better."

    return ScriptedEngine(script=judge, model=name)


def test_votes_come_from_every_member(copied) -> None:
    panel = copied("panel_engine").PanelEngine([member("a", 1), member("b", 1), member("c", 2)])
    scorer = Scorer(engine=panel, dialect=Dialect.DIRECT, votes=3)
    found = scorer.compare(
        task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.", media=PICTURE
    )
    assert panel.model == "panel of a, b, c"
    assert len(found.votes) == 6
    assert found.probability_first == 2 / 3
    assert found.position_consistent


def test_it_is_asked_for_whole_batches_with_nothing_but_the_protocol(copied) -> None:
    calls: list[int] = []

    class Counting(ScriptedEngine):
        def generate(self, prompts, sampling):
            calls.append(len(prompts))
            return super().generate(prompts, sampling)

    panel = copied("panel_engine").PanelEngine(
        [Counting(script=lambda prompt, index: "Answer 1 is better.", model="a")]
    )
    record = PreferenceRecord(
        key="pair", task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.",
        media=Media(kind=MediaKind.IMAGE, files=("a.gif",), data=(PICTURE,)),
    )  # fmt: skip
    scorer = Scorer(engine=panel, dialect=Dialect.DIRECT)
    found = list(scorer.compare_batch([replace(record, key=f"pair-{number}") for number in range(16)]))
    assert len(found) == 16
    assert calls == [32], "sixteen pairs in both orders, at once"
