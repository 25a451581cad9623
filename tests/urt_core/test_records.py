import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_core import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.errors import RecordError
from urt_core.records import KEY_PATTERN, key_with

IMAGE = Media(kind=MediaKind.IMAGE, files=("first.png",))
OTHER = Media(kind=MediaKind.IMAGE, files=("second.png",))
VIDEO = Media(kind=MediaKind.VIDEO, files=("first.f00.png", "first.f01.png"))


def pair(**changes: object) -> PreferenceRecord:
    fields = dict(key="a-1", task=Task.IMAGE_GENERATION, text="a red cube", first=IMAGE, second=OTHER)
    return PreferenceRecord(**(fields | changes))  # pyright: ignore[reportArgumentType]


def question(**changes: object) -> PreferenceRecord:
    fields = dict(
        key="q-1", task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.", media=IMAGE
    )
    return PreferenceRecord(**(fields | changes))  # pyright: ignore[reportArgumentType]


def test_tasks_say_what_they_compare() -> None:
    assert [task.noun for task in Task] == ["Image", "Video", "Answer", "Answer"]
    assert [task.is_generation for task in Task] == [True, True, False, False]
    assert [task.is_video for task in Task] == [False, True, False, True]
    assert [task.media_kind for task in Task] == [MediaKind.IMAGE, MediaKind.VIDEO] * 2
    assert Task.VIDEO_GENERATION.dimensions == ("semantic consistency", "temporal coherence", "authenticity")
    assert Task.IMAGE_GENERATION.dimensions == ("semantic consistency", "aesthetics", "authenticity")
    assert Task.VIDEO_UNDERSTANDING.dimensions == ("semantic accuracy", "correctness", "clarity")
    assert Task("image_generation") is Task.IMAGE_GENERATION


def test_swapping_exchanges_candidates_and_preference_and_drops_the_completion() -> None:
    record = pair(preference=Preference.FIRST, completion="Image 1 is better.")
    swapped = record.swap()
    assert (swapped.first, swapped.second) == (OTHER, IMAGE)
    assert swapped.preference is Preference.SECOND
    assert swapped.completion is None
    assert swapped.swap() == replace(record, completion=None)
    assert pair(preference="tie").swap().preference is Preference.TIE
    assert pair().swap().preference is None


def test_swapping_keeps_facts_with_their_candidate() -> None:
    """Keyed as urt-data writes votes, scores, models, soft labels and the truth of a scene."""
    record = pair(
        metadata={
            "source": "hpdv3",
            "votes": {"first": 9, "second": 2, "tie": 1},
            "scores": {"aesthetics": {"first": 7.5, "second": 4.0}},
            "models": {"first": "flux", "second": None},
            "soft_label": {"first": 0.8, "second": 0.2},
            "truth": {"asked": "cars", "first": {"seen": ["car"]}, "second": {"seen": []}},
            "rows": [{"first": 1}],
        }
    )
    assert record.swap().metadata == {
        "source": "hpdv3",
        "votes": {"first": 2, "second": 9, "tie": 1},
        "scores": {"aesthetics": {"first": 4.0, "second": 7.5}},
        "models": {"first": None, "second": "flux"},
        "soft_label": {"first": 0.2, "second": 0.8},
        "truth": {"asked": "cars", "first": {"seen": []}, "second": {"seen": ["car"]}},
        "rows": [{"second": 1}],
    }
    assert record.swap().swap() == record


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    text=texts,
    preference=st.none() | st.sampled_from(Preference),
    completion=st.none() | texts,
    metadata=st.dictionaries(texts, json_values, max_size=4),
    record=st.sampled_from([pair(), question(), pair(task=Task.VIDEO_GENERATION, first=VIDEO, second=VIDEO)]),
)
def test_json_and_copies_round_trip(text, preference, completion, metadata, record) -> None:
    record = replace(record, text=text, preference=preference, completion=completion, metadata=metadata)
    written = json.dumps(record.to_json())
    assert PreferenceRecord.from_json(json.loads(written)) == record
    assert copy.deepcopy(record) == record  # as a worker process would receive it


def test_media_bytes_stay_out_of_json_and_repr() -> None:
    read = replace(IMAGE, data=(b"\x89PNG-canary",))
    record = pair(first=read)
    assert "canary" not in json.dumps(record.to_json())
    assert "canary" not in repr(record)
    assert PreferenceRecord.from_json(record.to_json()).first == IMAGE


def test_records_can_be_keys_of_a_set() -> None:
    assert len({pair(metadata={"a": [1]}), pair(metadata={"a": [1]})}) == 1


def test_all_media_in_the_order_they_are_shown() -> None:
    assert pair().all_media == {"first": IMAGE, "second": OTHER}
    assert question().all_media == {"media": IMAGE}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "Upper"}, ["key", "'Upper'", "a-z0-9-"]),
        ({"key": ""}, ["key", "''"]),
        ({"key": "a" * 65}, ["key"]),
        ({"key": "a/../b"}, ["key"]),
        ({"key": 7}, ["key", "7"]),
        ({"task": "image"}, ["task", "'image'", "image_generation"]),
        ({"preference": "left"}, ["preference", "'left'", "first", "tie"]),
        ({"text": None}, ["text", "NoneType", "string"]),
        ({"text": "\ud800"}, ["text", "surrogate"]),
        ({"completion": "\udfff"}, ["completion", "surrogate"]),
        ({"first": "an answer"}, ["first", "str", "image"]),
        ({"second": VIDEO}, ["second", "video", "image"]),
        ({"media": IMAGE}, ["media", "None"]),
        ({"source": VIDEO}, ["source", "video", "image"]),
        ({"source": "a.png"}, ["source", "str", "image"]),
        ({"metadata": {"x": float("nan")}}, ["metadata", "JSON"]),
        ({"metadata": {"x": b"bytes"}}, ["metadata", "JSON"]),
    ],
)
def test_impossible_pairs_are_refused(changes: dict[str, object], words: list[str]) -> None:
    with pytest.raises(RecordError) as error:
        pair(**changes)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"media": None}, ["media", "NoneType", "image"]),
        ({"media": VIDEO}, ["media", "video"]),
        ({"first": IMAGE}, ["first", "string"]),
        ({"source": IMAGE}, ["source", "None"]),
    ],
)
def test_impossible_questions_are_refused(changes: dict[str, object], words: list[str]) -> None:
    with pytest.raises(RecordError) as error:
        question(**changes)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "audio", "files": ("a",)}, ["kind", "'audio'", "image"]),
        ({"kind": "image", "files": ()}, ["0 files"]),
        ({"kind": "image", "files": ("a", "b")}, ["2 files", "one"]),
        ({"kind": "video", "files": ()}, ["0 files"]),
        ({"kind": "video", "files": ["a"]}, ["tuple"]),
        ({"kind": "video", "files": ("a", "")}, ["non-empty"]),
        ({"kind": "video", "files": ("a", "b"), "data": (b"",)}, ["1 items", "2 files"]),
    ],
)
def test_impossible_media_are_refused(fields: dict, words: list[str]) -> None:
    with pytest.raises(RecordError) as error:
        Media(**fields)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.pop("text"), ["lacks", "text"]),
        (lambda value: value.update(extra=1), ["unknown", "extra"]),
        (lambda value: value["first"].update(bytes="x"), ["Media", "unknown", "bytes"]),
        (lambda value: value["first"].pop("kind"), ["Media", "lacks", "kind"]),
        (lambda value: value.update(media=[1]), ["Media", "list"]),
    ],
)
def test_json_with_other_fields_is_refused(change, words: list[str]) -> None:
    value = pair().to_json()
    change(value)
    with pytest.raises(RecordError) as error:
        PreferenceRecord.from_json(value)
    assert all(word in str(error.value) for word in words), error.value


def test_json_may_leave_out_what_has_a_default() -> None:
    value = {name: content for name, content in pair().to_json().items() if content}
    assert PreferenceRecord.from_json(value) == pair()


def test_edits_of_one_source() -> None:
    source = Media(kind=MediaKind.IMAGE, files=("source.png",))
    edit = pair(source=source)
    assert edit.is_edit
    assert not pair().is_edit
    assert list(edit.all_media) == ["source", "first", "second"]
    assert edit.swap().source is source
    assert PreferenceRecord.from_json(edit.to_json()) == edit
    assert "source" not in pair().to_json()


@given(
    st.text("ab-", min_size=1, max_size=64),
    st.text("ab-", min_size=1, max_size=64),
    st.sampled_from(["g", "direct", "a12"]),
)
def test_a_key_with_an_ending_is_a_key_and_no_two_become_one(key: str, other: str, ending: str) -> None:
    made = key_with(key, ending)
    assert KEY_PATTERN.fullmatch(made)
    assert made.endswith(f"-{ending}")
    assert (made == key_with(other, ending)) == (key == other)
    if len(key) + len(ending) < 64:
        assert made == f"{key}-{ending}"


def test_long_keys_that_differ_at_their_end_stay_apart() -> None:
    assert len({key_with(f"{'k' * 61}{number:03d}", "direct") for number in range(50)}) == 50
