"""Lines of published shapes, read."""

from urt_core.bench import rescore


def test_a_score_that_no_float_holds_is_no_score() -> None:
    lines = [
        {"id": 0, "score_0": 1, "score_1": 0, "label": "0"},
        {"id": 1, "score_0": 10**400, "score_1": 0, "label": "0"},
    ]
    found = rescore(lines, benchmark="mj_bench")
    assert (found.values["accuracy"], found.n_failed) == (50.0, 1)


def test_without_a_vote_the_first_double_bracket_of_the_text_counts() -> None:
    text = "A looks better.\n[[A>B]]\nOn reflection: [[B>A]]"
    assert (
        rescore(
            [{"item": "1", "label": "leftvote", "response": text}], benchmark="genai_bench", shape="genai_bench"
        ).values["accuracy"]
        == 100.0
    )
