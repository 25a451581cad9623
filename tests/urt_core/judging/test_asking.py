"""Questions to an engine: batches of whole questions, faults that cost their own, and results that pass through."""

import asyncio
from dataclasses import dataclass, field

import pytest

from urt_core import Completion, FinishReason, Prompt, SamplingParams
from urt_core.errors import EngineError, PromptError
from urt_core.judging.asking import Asker, Question
from urt_core.streaming import LATER

SAMPLING = SamplingParams(max_tokens=4)


@dataclass
class Batched:
    """Answers with the prompt's text, and remembers how many prompts came together."""

    model: str = "batched"
    batch_size: int = 4
    sizes: list[int] = field(default_factory=list)
    seeds: list[int | None] = field(default_factory=list)

    def generate(self, prompts, sampling):
        self.sizes.append(len(prompts))
        self.seeds.append(sampling.seed)
        if any("bad" in prompt.text for prompt in prompts):
            raise PromptError("parts must be non-empty")
        return [
            [Completion(text=prompt.text, finish_reason=FinishReason.STOP)] * sampling.num_completions
            for prompt in prompts
        ]


def question(*texts: str, sampling: SamplingParams | None = None) -> Question[str]:
    return Question(
        prompts=tuple(Prompt(parts=(text,)) for text in texts),
        read=lambda groups: "+".join(group[0].text or str(group[0].finish_reason) for group in groups),
        sampling=sampling,
    )


def test_a_batch_is_filled_with_whole_questions() -> None:
    engine = Batched()
    found = list(Asker(engine).ask([question(f"{n}a", f"{n}b", f"{n}c") for n in range(3)], SAMPLING))
    assert found == ["0a+0b+0c", "1a+1b+1c", "2a+2b+2c"]
    assert engine.sizes == [6, 3]


def test_completions_count_as_room_and_a_question_is_never_cut() -> None:
    engine = Batched()
    sampling = SamplingParams(max_tokens=4, num_completions=8, temperature=1.0)
    assert list(Asker(engine).ask([question("a", "b"), question("c")], sampling)) == ["a+b", "c"]
    assert engine.sizes == [2, 1]


def test_what_is_sampled_otherwise_goes_in_a_batch_of_its_own() -> None:
    engine = Batched(batch_size=10)
    own = SamplingParams(max_tokens=4, seed=7)
    questions = [question("a"), question("b", sampling=own), question("c", sampling=own), question("d")]
    assert list(Asker(engine).ask(questions, SAMPLING)) == ["a", "b", "c", "d"]
    assert engine.sizes == [1, 2, 1]
    assert engine.seeds == [SAMPLING.seed, 7, SAMPLING.seed]


def test_a_result_passes_through_in_its_place_and_later_asks_first() -> None:
    engine = Batched(batch_size=10)
    found = list(Asker(engine).ask([question("a"), "known", question("b"), LATER, question("c")], SAMPLING))
    assert found == ["a", "known", "b", "c"]
    assert engine.sizes == [2, 1]


def test_a_prompt_that_the_engine_cannot_take_costs_its_own_answer() -> None:
    engine = Batched(batch_size=10)
    found = list(Asker(engine).ask([question("a"), question("b", "bad"), question("c")], SAMPLING))
    assert found == ["a", "b+bad_record", "c"]


def test_nothing_is_asked_before_somebody_reads() -> None:
    engine = Batched(batch_size=1)
    results = Asker(engine).ask((question(str(n)) for n in range(100)), SAMPLING)
    assert engine.sizes == []
    assert next(results) == "0"
    assert engine.sizes == [1]


@dataclass
class Concurrent:
    """Answers later questions sooner, and remembers how many are in flight."""

    model: str = "concurrent"
    concurrency: int = 3
    running: int = 0
    most: int = 0

    async def agenerate(self, prompts, sampling):
        self.running += 1
        self.most = max(self.most, self.running)
        number = int(prompts[0].text.removeprefix("bad"))
        await asyncio.sleep(0.001 * (20 - number))
        self.running -= 1
        if "bad" in prompts[0].text:
            raise PromptError("no")
        return [[Completion(text=prompts[0].text, finish_reason=FinishReason.STOP)]]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_concurrent_engine_has_twice_its_number_in_flight_at_most(ordered: bool) -> None:
    engine = Concurrent()
    found = list(Asker(engine).ask([question(str(n)) for n in range(20)], SAMPLING, ordered=ordered))
    assert (found if ordered else sorted(found, key=int)) == [str(n) for n in range(20)]
    assert 1 < engine.most <= 2 * engine.concurrency


def test_a_fault_of_a_concurrent_question_is_its_answer() -> None:
    found = list(Asker(Concurrent()).ask([question("1"), question("bad2"), question("3")], SAMPLING))
    assert found == ["1", "bad_record", "3"]


def test_whoever_stops_listening_stops_the_questions() -> None:
    engine = Concurrent()

    async def first() -> str:
        results = Asker(engine).aask((question(str(n % 20)) for n in range(10**6)), SAMPLING)
        async for result in results:
            await results.aclose()
            return result
        raise AssertionError

    assert asyncio.run(first()) == "0"
    assert engine.most <= 2 * engine.concurrency


ONE = Completion(text="Image 1 is better.")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, "returned a NoneType"),
        ("ab", "returned a str"),
        ([], "returned 0 lists"),
        ([[ONE]], "returned 1 lists"),
        ([[ONE]] * 3, "returned 3 lists"),
        ([ONE, ONE], "returned a Completion for a prompt"),
        (["a", "b"], "returned a str for a prompt"),
        ([[ONE], []], "returned 0 completions for a prompt"),
        ([[ONE], [ONE, ONE]], "returned 2 completions for a prompt"),
        ([[ONE], ["Image 1 is better."]], "returned a str as a completion"),
    ],
)
def test_an_engine_that_gives_something_else_than_was_asked_for_is_named(given, found) -> None:
    @dataclass
    class Own:
        model: str = "own"

        def generate(self, prompts, sampling):
            return given

    @dataclass
    class OwnAsync:
        model: str = "own"

        async def agenerate(self, prompts, sampling):
            return given

    for engine in (Own(), OwnAsync()):
        with pytest.raises(EngineError) as caught:
            list(Asker(engine).ask([question("a", "b")], SAMPLING))
        expected = "expected: 2 lists of 1 Completion, one list per prompt"
        assert str(caught.value) == f"engine {type(engine).__name__} {found}; {expected}"


class Hurried:
    model, concurrency = "hurried", 2

    def agenerate(self, prompts, sampling):
        return [[Completion(text="Answer 1 is better.")]]


def test_an_engine_whose_agenerate_cannot_be_waited_for_is_named() -> None:
    asker = Asker(Hurried())  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        EngineError, match="agenerate of engine Hurried returned a list and nothing to wait for; expected: async def"
    ):
        list(asker.ask([Question(prompts=(Prompt(parts=("a",)),), read=lambda groups: groups)], SAMPLING))
