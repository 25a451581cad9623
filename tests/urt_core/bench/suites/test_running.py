"""Suites on judges whose weakness is known by construction."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from urt_core import Dialect, Media, MediaKind, Preference, PreferenceRecord, SamplingParams, Task
from urt_core.bench.suites import SuiteReport, pictures, run_suites
from urt_core.bench.suites.confidence import confidence
from urt_core.bench.suites.tables import suite_tables
from urt_core.bench.suites.variants import VARIANTS
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked
from urt_core.media.frames import encoded_bytes
from urt_core.media.limits import MediaLimits

ASKED = Asked(dialect=Dialect.DIRECT, sampling=SamplingParams(max_tokens=16))


def png(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 40, 90)).save(data, "PNG")
    return data.getvalue()


def medium(shade: int) -> Media:
    return Media(kind=MediaKind.IMAGE, files=(f"{shade}.png",), data=(png(shade),))


def records(num: int) -> list[PreferenceRecord]:
    made = []
    for n in range(num):
        label = Preference.FIRST if n % 4 < 2 else Preference.SECOND
        good, bad = (200, 30) if label is Preference.FIRST else (30, 200)
        if n % 2:
            words = ("Two cars.", "No cars.") if label is Preference.FIRST else ("No cars.", "Two cars.")
            made.append(
                PreferenceRecord(
                    key=f"pair-{n}", task=Task.IMAGE_UNDERSTANDING, text="How many cars?", first=words[0], second=words[1],
                    media=medium(10), preference=label,
                )
            )  # fmt: skip
        else:
            made.append(
                PreferenceRecord(
                    key=f"pair-{n}",
                    task=Task.IMAGE_GENERATION,
                    text="a red car",
                    first=medium(good),
                    second=medium(bad),
                    preference=label,
                )
            )
    return made


def redness(media: Media) -> float:
    return ImageStat.Stat(Image.open(io.BytesIO(encoded_bytes(media, 0, limits=MediaLimits()))).convert("RGB")).mean[0]


def answers_of(prompt) -> list[str]:
    text = prompt.text
    one, two = text.index("\nAnswer 1: "), text.index("\nAnswer 2: ")
    return [text[one:two], text[two:]]


def steady(prompt, index) -> str:
    """Looks at what is shown, and at nothing else."""
    if prompt.task.is_generation:
        first, second = map(redness, prompt.media)
        return "Image 1 is better" if first > second else "Image 2 is better"
    first, _ = answers_of(prompt)
    return "Answer 1 is better" if "Two cars." in first else "Answer 2 is better"


def rates(engine, **options) -> dict[str, float | None]:
    report = run_suites(engine, records(16), asked=ASKED, num_pairs=16, **options)
    return {f"{finding.suite}/{finding.variant}": finding.rate.value for finding in report.findings}


def test_a_steady_judge_is_moved_by_nothing() -> None:
    found = rates(ScriptedEngine(script=steady))
    for variant in VARIANTS:
        if variant.suite != "identical":
            assert found[f"{variant.suite}/{variant.name}"] == 0.0, variant
    assert found["position/pictures"] == found["position/answers in text"] == 0.0
    assert found["position/first picked"] == 0.5
    assert found["self-consistency/3 votes at temperature 0.7"] == 1.0


def test_a_judge_that_names_the_first_is_found_out() -> None:
    def first(prompt, index) -> str:
        return f"{prompt.task.noun} 1 is better"

    found = rates(ScriptedEngine(script=first))
    assert found["position/pictures"] == found["position/answers in text"] == found["position/first picked"] == 1.0
    assert found["identical/same candidate"] == 1.0


def test_a_judge_that_believes_what_it_is_told_is_found_out() -> None:
    def gullible(prompt, index) -> str:
        for number in (1, 2):
            if f"say that {prompt.task.noun} {number} is better" in prompt.text:
                return f"{prompt.task.noun} {number} is better"
        return steady(prompt, index)

    found = rates(ScriptedEngine(script=gullible))
    assert found["instructions/in caption"] == found["instructions/in answer"] == 1.0
    assert found["fake tables/in caption"] == found["style/border"] == 0.0


def test_a_judge_that_likes_long_answers_is_found_out() -> None:
    def long(prompt, index) -> str:
        if prompt.task.is_generation:
            return steady(prompt, index)
        first, second = answers_of(prompt)
        if abs(len(first) - len(second)) < 400 and "That is" not in prompt.text and "carefully" not in prompt.text:
            return steady(prompt, index)
        return "Answer 1 is better" if "carefully" in first or "That is" in first else "Answer 2 is better"

    found = rates(ScriptedEngine(script=long))
    assert found["length/verbose"] == found["length/repeated"] == 1.0


def test_examples_and_numbers_survive_saving_and_an_older_file_opens(tmp_path: Path) -> None:
    def first(prompt, index) -> str:
        return f"{prompt.task.noun} 1 is better"

    report = run_suites(ScriptedEngine(script=first), records(8), asked=ASKED, num_pairs=8)
    report.save(tmp_path / "suites.json")
    assert SuiteReport.load(tmp_path / "suites.json") == report
    assert next(finding for finding in report.findings if finding.suite == "position").examples
    old = {"schema": 1, "model": "m", "num_pairs": 1, "findings": []}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert SuiteReport.load(tmp_path / "old.json").confidences == ()
    assert "what is counted" in suite_tables(report)[0].markdown()


def test_suites_go_on_where_they_were_stopped(tmp_path: Path) -> None:
    straight = rates(ScriptedEngine(script=steady))
    engine = ScriptedEngine(script=steady)
    with Journal(tmp_path, about={}) as journal:
        seen: list = []

        def stop(pair) -> None:
            seen.append(pair)
            if len(seen) == 100:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rates(engine, journal=journal, seen=stop)
    with Journal(tmp_path, about={}) as journal:
        assert rates(engine, journal=journal) == straight
    asked = [(prompt.key, prompt.parts) for prompt in engine.prompts]
    again = len(asked) - len(set(asked))
    with Journal(tmp_path, about={}) as journal:
        before = len(engine.prompts)
        assert rates(engine, journal=journal) == straight
    assert len(engine.prompts) == before
    assert again <= 32  # the same prompt in both orders, and its votes


def test_edits_keep_the_size_but_for_resolution_and_change_pixels() -> None:
    image = Image.effect_mandelbrot((80, 60), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    for edit in (pictures.brighter, pictures.more_contrast, pictures.sharper, pictures.framed, pictures.says_better):
        changed = edit(image)
        assert changed.size == image.size
        assert changed.tobytes() != image.tobytes()
    assert pictures.twice_the_pixels(image).size == (160, 120)
    written = pictures.says_score(image)
    assert written.crop((0, 0, 80, 40)).tobytes() == image.crop((0, 0, 80, 40)).tobytes()


def test_abstaining_keeps_the_most_confident() -> None:
    from urt_core.judging.judge import judge

    [pair] = judge(
        records(1), engine=ScriptedEngine(script=steady), asked=Asked(dialect=Dialect.DIRECT, orders="given")
    )
    rows = [(0.95, pair)] * 6 + [(0.45, pair)] * 4  # the label is the first: the doubtful ones are wrong
    found = confidence("margin", rows)
    assert dict(found.abstention)[1.0] == 0.6
    assert dict(found.abstention)[0.6] == 1.0
    assert found.ece == pytest.approx(0.6 * 0.05 + 0.4 * 0.55)
