"""Scores and verdicts that no dialect reads: what of them is no pair, and why."""

import json

import pytest

from tests.urt_data.sources.conftest import medium
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data import sources

PAIR = "Alignment Score:\n Image 1: {0}\n Image 2: {1}\n\nCoherence Score:\n Image 1: {2}\n Image 2: {3}"


def converted(
    tmp_path, name: str, said: str, *, images=("a.jpg", "b.jpg"), asked="Text Caption: [a red car]", **options
):
    for image in images:
        (tmp_path / image).write_bytes(medium(image))
    turns = [{"from": "human", "value": "<image>\n" * len(images) + asked}, {"from": "gpt", "value": said}]
    (tmp_path / "train_data.json").write_text(json.dumps([{"conversations": turns, "images": list(images)}]))
    conversion = sources.get(name, **options).records(tmp_path)
    [*results] = conversion
    return results, conversion.left_out


@pytest.mark.parametrize(
    ("scores", "preference"),
    [
        ((0.7, 0.3, 0.4, 0.6), Preference.FIRST),
        ((0.25, 0.75, 0.5, 0.5), Preference.SECOND),
        ((0.25, 0.75, 0.75, 0.25), Preference.TIE),
        ((3.5, 4, 4, 4), Preference.SECOND),
        ((-1.5, -2, 0, 0), Preference.FIRST),
    ],
)
def test_the_larger_mean_is_preferred(tmp_path, scores, preference):
    [record], _ = converted(tmp_path, "official_pair_scores", PAIR.format(*scores))
    assert isinstance(record, PreferenceRecord)
    assert record.preference is preference
    assert record.metadata["scores"]["alignment"] == {"first": scores[0], "second": scores[1]}
    assert record.completion is None, "no dialect reads it"


@pytest.mark.parametrize("value", ["nan", "inf", "high"])
def test_a_score_that_is_no_number_costs_the_row(tmp_path, value):
    [error], _ = converted(tmp_path, "official_pair_scores", PAIR.format(value, 0.3, 0.5, 0.5))
    assert isinstance(error, sources.RowError)
    assert value in error.reason


def test_blocks_of_two_kinds_or_twice_are_no_pair(tmp_path):
    for said in (
        PAIR.format(1, 2, 1, 2).replace("Coherence", "Alignment"),
        PAIR.format(1, 2, 1, 2).replace("Image", "Video", 2),
    ):
        [error], _ = converted(tmp_path, "official_pair_scores", said)
        assert isinstance(error, sources.RowError)


def test_each_reader_names_the_other(tmp_path):
    scores, verdict = PAIR.format(1, 2, 1, 2), json.dumps({"winner": "Image 2", "categories": []})
    assert converted(tmp_path, "official_pair_scores", verdict)[1].keys() == {
        "no pair scores (points: data=official_point_scores; JSON verdicts: data=official_flex)"
    }
    [(reason, _)] = converted(tmp_path, "official_flex", scores)[1].items()
    assert "data=official_pair_scores" in reason
    [(reason, _)] = converted(tmp_path, "official_sft", scores)[1].items()
    assert reason.startswith("pair scores, no verdict (UnifiedReward-2.0): data=official_pair_scores")


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ({"winner": "Image 3", "categories": []}, "unreadable"),
        ({"winner": "Picture 1"}, "it must be like 'Image 1'"),
        ({"categories": []}, "it must be like 'Image 1'"),
        ({"winner": ["Image 1"]}, "it must be like 'Image 1'"),
    ],
)
def test_a_winner_that_is_no_candidate_costs_the_row(tmp_path, verdict, word):
    [error], _ = converted(tmp_path, "official_flex", json.dumps(verdict))
    assert isinstance(error, sources.RowError)
    assert word in error.reason


def test_flex_reads_the_caption_of_the_prompt_or_of_the_verdict(tmp_path):
    verdict = json.dumps({"prompt": "a blue kite", "winner": "Image 2"})
    [record], _ = converted(tmp_path, "official_flex", verdict)
    assert isinstance(record, PreferenceRecord)
    assert (record.text, record.preference) == ("a red car", Preference.SECOND)
    [record], _ = converted(tmp_path, "official_flex", verdict, asked="Which one is better?")
    assert isinstance(record, PreferenceRecord)
    assert record.text == "a blue kite"
    [error], _ = converted(tmp_path, "official_flex", json.dumps({"winner": "Image 2"}), asked="Which one?")
    assert isinstance(error, sources.RowError)
    assert "no caption" in error.reason


def test_points_of_one_caption_become_a_pair_and_a_lonely_one_is_left_out(tmp_path):
    rows = []
    for image, caption, said in (
        ("a.jpg", "a red car", "Final Score: 3.5"),
        ("b.jpg", "a red car", "objects: 1\nFinal Score: 4.5"),
        ("c.jpg", "alone", "Final Score: 2"),
        ("d.jpg", "a red car", "no score at all"),
    ):
        (tmp_path / image).write_bytes(medium(image))
        turns = [{"from": "human", "value": f"<image>\nText Caption: [{caption}]"}, {"from": "gpt", "value": said}]
        rows.append({"conversations": turns, "images": [image]})
    (tmp_path / "train_data.json").write_text(json.dumps(rows))
    conversion = sources.get("official_point_scores").records(tmp_path)
    results = list(conversion)
    [record] = [result for result in results if isinstance(result, PreferenceRecord)]
    better = record.first if record.preference is Preference.FIRST else record.second
    assert isinstance(better, Media)
    assert better.data == (medium("b.jpg"),)
    assert dict(conversion.left_out) == {"the only candidate of its prompt": 1}
    assert [result.row for result in results if isinstance(result, sources.RowError)] == [3]
