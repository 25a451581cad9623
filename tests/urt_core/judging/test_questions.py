"""A question's name changes with everything that can change its answer, and with nothing else."""

from urt_core import Prompt, SamplingParams
from urt_core.comparison import Order
from urt_core.judging.questions import prompt_digest, question_id
from urt_core.prompts.prompt import Turn
from urt_core.records import Media, MediaKind

ASKED = {
    "model": "judge",
    "preprocessing": "rgb",
    "prompt_sha256": "abc",
    "sampling": SamplingParams(),
    "order": Order.GIVEN,
    "vote_index": 0,
    "key": "pair",
}


def test_everything_that_changes_the_answer_changes_the_name() -> None:
    others = {
        "model": "other",
        "preprocessing": "grey",
        "prompt_sha256": "abd",
        "sampling": SamplingParams(seed=1),
        "order": Order.SWAPPED,
        "vote_index": 1,
        "key": "pair-2",
    }
    names = {question_id(**ASKED), *(question_id(**{**ASKED, name: value}) for name, value in others.items())}
    assert len(names) == 1 + len(others)
    assert question_id(**ASKED) == question_id(**dict(ASKED))


def test_a_prompt_is_its_text_and_its_pictures_not_their_names() -> None:
    def shown(name: str, content: bytes) -> str:
        return prompt_digest(Prompt(parts=("Image 1:", Media(kind=MediaKind.IMAGE, files=(name,), data=(content,)))))

    assert shown("a.png", b"1") == shown("b.png", b"1") != shown("a.png", b"2")


def test_everything_that_was_said_before_is_part_of_the_prompt() -> None:
    picture = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"1",))
    other = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"2",))
    parts = ("Which?",)
    prompts = [
        Prompt(parts=parts),
        Prompt(parts=("Be strict.", "Which?")),
        *(
            Prompt(parts=parts, before=before)
            for before in (
                (Turn(role="system", parts=("Be strict.",)),),
                (Turn(role="system", parts=("Be kind.",)),),
                (Turn(role="user", parts=("Be strict.",)),),
                (Turn(role="user", parts=("Be", " strict.")),),
                (Turn(role="user", parts=("Be",)), Turn(role="user", parts=(" strict.",))),
                (Turn(role="user", parts=("Be",)), Turn(role="assistant", parts=(" strict.",))),
                (Turn(role="user", parts=("Be strict.", picture)),),
                (Turn(role="user", parts=(picture, "Be strict.")),),
                (Turn(role="user", parts=("Be strict.", other)),),
            )
        ),
    ]
    assert len({prompt_digest(prompt) for prompt in prompts}) == len(prompts)
