import pytest

from urt_core import Media, MediaKind, PreferenceRecord, Task
from urt_core.errors import PromptError
from urt_core.prompts import PointContract, point_scale, render_pair_score, render_point

MEDIA = {kind: Media(kind=kind, files=("a",)) for kind in MediaKind}
COVERED = {
    PointContract.FINAL_SCORE: list(Task),
    PointContract.ACS: [Task.IMAGE_GENERATION],
    PointContract.APS: [Task.VIDEO_GENERATION],
    PointContract.THINK: list(Task),
}


@pytest.mark.parametrize(
    ("contract", "task"), [(contract, task) for contract, tasks in COVERED.items() for task in tasks]
)
def test_a_point_prompt_names_what_it_wants(contract: PointContract, task: Task) -> None:
    shown = MEDIA[task.media_kind]
    candidate, media = (shown, None) if task.is_generation else ("the answer", shown)
    prompt = render_point(contract=contract, task=task, text="the text", candidate=candidate, media=media, key="k")
    assert prompt.media == (shown,)
    assert isinstance(prompt.parts[0], Media)
    assert (prompt.task, prompt.dialect, prompt.key) == (task, None, "k")
    assert prompt.text.endswith("the text" if task.is_generation else "Question: the text\nAnswer: the answer")
    scale = point_scale(contract, task)
    assert all(name in prompt.text.lower() for name in scale.dimensions)
    assert f"from {scale.low:g} " in prompt.text
    assert f"to {scale.high:g}" in prompt.text


@pytest.mark.parametrize("task", [Task.IMAGE_GENERATION, Task.VIDEO_GENERATION])
def test_the_pair_score_prompt_shows_both(task: Task) -> None:
    shown = MEDIA[task.media_kind]
    record = PreferenceRecord(key="k-2", task=task, text="the text", first=shown, second=shown)
    prompt = render_pair_score(record)
    assert len(prompt.media) == 2
    assert prompt.parts[0] == f"{task.noun} 1:"
    assert prompt.text.endswith("Caption: the text")


@pytest.mark.parametrize("contract", list(PointContract))
def test_every_contract_says_what_it_covers(contract: PointContract) -> None:
    for task in Task:
        covered = COVERED.get(contract, [Task.IMAGE_GENERATION, Task.VIDEO_GENERATION])
        if task in covered:
            assert point_scale(contract, task).low < point_scale(contract, task).high
        else:
            with pytest.raises(PromptError, match=f"{contract} does not cover {task}; it covers {covered[0]}"):
                point_scale(contract, task)


def test_wrong_requests_are_refused() -> None:
    image, video = MEDIA[MediaKind.IMAGE], MEDIA[MediaKind.VIDEO]
    with pytest.raises(PromptError, match="render_pair_score"):
        render_point(contract=PointContract.PAIR_SCORE, task=Task.IMAGE_GENERATION, text="t", candidate=image)
    with pytest.raises(PromptError, match="kind image"):
        render_point(contract=PointContract.ACS, task=Task.IMAGE_GENERATION, text="t", candidate=video)
    with pytest.raises(PromptError, match="kind image"):
        render_point(contract=PointContract.THINK, task=Task.IMAGE_UNDERSTANDING, text="t", candidate="a")
    with pytest.raises(PromptError, match="answer's text"):
        render_point(
            contract=PointContract.THINK, task=Task.IMAGE_UNDERSTANDING, text="t", candidate=image, media=image
        )
    question = PreferenceRecord(key="k", task=Task.IMAGE_UNDERSTANDING, text="t", first="a", second="b", media=image)
    with pytest.raises(PromptError, match="does not cover image_understanding"):
        render_pair_score(question)
