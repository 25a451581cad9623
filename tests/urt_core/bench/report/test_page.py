"""The report: what it says, that foreign text stays text, and that a browser shows it."""

import html
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from urt_core import Completion, Dialect, Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.bench.evaluation import EvaluationResult, evaluate
from urt_core.bench.rates import Rate
from urt_core.bench.report import JudgedData, read_beside, read_evaluations, write_report
from urt_core.bench.suites import SuiteReport
from urt_core.bench.suites.running import Example, Finding
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError
from urt_data.record_selection import records_by_key
from urt_data.shards import ShardFolder, ShardWriter

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = Console(file=io.StringIO())


STAGES = {"base": "Base", "cold_start": "Cold start", "rejection_sampling": "Rejection sampling", "grpo": "GRPO"}


def picture(color: str, size: int = 16) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (size, size), color).save(content, format="PNG")
    return content.getvalue()


def image(name: str, color: str) -> Media:
    return Media(kind=MediaKind.IMAGE, files=(f"{name}.png",), data=(picture(color),))


def video(name: str, *colors: str) -> Media:
    files = tuple(f"{name}.f{number:02d}.png" for number in range(len(colors)))
    return Media(kind=MediaKind.VIDEO, files=files, data=tuple(map(picture, colors)))


def record(number: int, task: Task, *, text: str = "a red car", answer: str = "Two.", cause: str = "count"):
    shown: dict = {
        Task.IMAGE_GENERATION: {"first": image("first", "red"), "second": image("second", "blue")},
        Task.VIDEO_GENERATION: {
            "first": video("first", "red", "green", "blue"),
            "second": video("second", "red", "red", "red"),
        },
        Task.IMAGE_UNDERSTANDING: {"first": answer, "second": "Three.", "media": image("media", "red")},
        Task.VIDEO_UNDERSTANDING: {"first": answer, "second": "Three.", "media": video("media", "red", "green")},
    }[task]
    key = f"{str(task).replace('_', '-')}-{number}"
    return PreferenceRecord(
        key=key, task=task, text=text, preference=Preference.FIRST, metadata={"cause": cause}, **shown
    )


def judgement(noun: str, winner: int, remark: str = "seen") -> str:
    scores = (9, 5) if winner == 1 else (5, 9)
    lines = [f"1. Clarity: {noun} 1 ({scores[0]}/10) - {remark}; {noun} 2 ({scores[1]}/10) - {remark}", "Total score:"]
    lines += [f"{noun} {n}: {score}={score}" for n, score in enumerate(scores, start=1)]
    return "<think>\n" + "\n".join(lines) + f"\n</think>\n<answer>{noun} {winner} is better</answer>"


def output_folder(folder: Path, *, foreign=("seen",), stages=("base", "cold_start", "grpo")) -> JudgedData:
    """What a pipeline leaves behind: one of `foreign` stands wherever text of others can stand."""
    places = [(task, number) for task in Task for number in range(4)]
    texts = {place: foreign[turn % len(foreign)] for turn, place in enumerate(places)}
    with ShardWriter(folder / "data" / "test", metadata={"label_origin": foreign[0]}) as shards:
        for (task, number), text in texts.items():
            shards.write(record(number, task, text=f"{text} {number}", answer=text, cause=f"{number} {text}"))
    data = ShardFolder(folder / "data" / "test")
    for skill, stage in enumerate(stages):

        def answer(prompt, index, skill=skill):
            noun, number = prompt.task.noun, int(prompt.key.rpartition("-")[2])
            text = texts[prompt.task, number]
            if number > skill + 1:
                return f"{text} I can't say"
            if prompt.dialect is Dialect.DIRECT:
                return f"{noun} {1 + number % 2} is better."
            return judgement(noun, 1 if number <= skill else 2, text)

        engine = ScriptedEngine(script=answer, model=foreign[-1])
        evaluate(engine, data, console=QUIET, data={"folder": foreign[-1]}).save(folder / "evaluation" / stage / "test")
        (folder / stage).mkdir()
        rows = "\n".join(f"{step},{2 / (step + 1)},{step / 40},," for step in range(40))
        (folder / stage / "metrics.csv").write_text(f"step,loss,reward/accuracy,reward/format,empty\n{rows}\n")
    (folder / stages[-1] / "environment.json").write_text(
        json.dumps({"commit": foreign[0], "packages": {"torch": "2.13.0"}})
    )
    costs = [{"name": "grpo", "title": foreign[0], "seconds": 90.0, "peak_memory_bytes": 1_500_000_000}] * 2
    (folder / "costs.json").write_text(json.dumps(costs))
    return JudgedData(metadata=data.metadata, find=partial(records_by_key, data))


class Structure(HTMLParser):
    """The page without its text: each tag with the names of its attributes, and the attributes that could do harm."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "action", "xlink:href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def benign(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("benign")
    data = output_folder(folder)
    return write_report(folder, recipe="tiny", stages=STAGES, data=data).read_text(encoding="utf-8")


def test_it_says_what_was_measured(benign):
    text = Structure(benign).text
    assert "Right on 75.0 % of 16 held-out pairs" in text
    for title in ("Accuracy after each stage", "How it learned", "Time and memory", "Judged pairs"):
        assert title in text
    # Three stages: pairs 0..skill are judged rightly by the stage of that skill.
    assert re.search(r"All tasks\s*25\.0 %\D*[\d.–]+\s*50\.0 %\D*[\d.–]+\s*75\.0 %", text)
    assert "unreadable: no answer" in text
    assert "3 min 0 s" in text
    assert "torch 2.13.0" in text


def test_a_judge_of_another_recipe_stands_beside_the_stages(tmp_path):
    """Only where it was measured, and on the same pairs."""
    own = tmp_path / "own"
    data = output_folder(own)
    evaluations = read_evaluations(own, stages=STAGES, split="test")
    baseline = next(iter(evaluations.values()))
    baseline.save(tmp_path / "same")
    replace(baseline, data={**baseline.data, "manifest": "of other pairs"}).save(tmp_path / "other")
    places = {name: tmp_path / name for name in ("same", "other", "nowhere")}
    beside = read_beside(places, like=evaluations)
    assert list(beside) == ["same"]
    page = write_report(own, recipe="tiny", stages=STAGES, data=data, beside={"Direct baseline": beside["same"]})
    text = page.read_text(encoding="utf-8")
    assert text.count("Direct baseline") >= 2, "a column of the accuracies, a row of the behaviour"
    assert "Direct baseline" not in write_report(own, recipe="tiny", stages=STAGES, data=data).read_text(
        encoding="utf-8"
    )


def test_it_stands_alone(benign):
    structure = Structure(benign)
    assert all(source.startswith(("data:", "#")) for source in structure.sources)
    assert not {tag for tag, _ in structure.tags} & {"script", "iframe", "object", "embed", "base"}
    assert all("style" not in attributes for _, attributes in structure.tags)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', benign)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_every_frame_of_a_video_is_shown(benign):
    assert len(re.findall(r'alt="Video 1 frame \d"', benign)) == 4 * 3


PAYLOADS = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "' autofocus onfocus='document.title=1' x='",
    "</title></style></textarea><script>document.title='owned'</script>",
    "<style>body{display:none}</style><meta http-equiv=refresh content='0;url=//example.invalid'>",
    "<iframe srcdoc='<script>parent.document.title=1</script>'></iframe><base href=//example.invalid>",
    "{{ 7 * 7 }}{% raw %}{# {{ self._TemplateReference__context }}",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
    "<!--<img src=--><a href=\"javascript:document.title='owned'\">x</a>",
    "[red]x[/red] ]]> \u202e\u2028 \u0000<sCrIpT/x>document.title='owned'</ScRiPt >",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
]


def test_hostile_text_stays_text(tmp_path, benign):
    """Wherever foreign text can stand stands a payload; the page has the same tags and attributes as the harmless
    one."""
    data = output_folder(tmp_path, foreign=PAYLOADS)
    structure = Structure(write_report(tmp_path, recipe="tiny", stages=STAGES, data=data).read_text(encoding="utf-8"))
    assert structure.tags == Structure(benign).tags
    assert all(source.startswith(("data:", "#")) for source in structure.sources)
    missing = [payload for payload in PAYLOADS if "\u0000" not in payload and payload not in structure.text]
    assert missing == []


def browse(page: Path, *flags: str, folder: Path) -> str:
    assert CHROMIUM
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--hide-scrollbars", f"--user-data-dir={folder}/profile", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")


@needs_chromium
def test_a_browser_shows_it_and_runs_nothing(tmp_path):
    data = output_folder(tmp_path, foreign=PAYLOADS)
    page = write_report(tmp_path, recipe="tiny", stages=STAGES, data=data)
    shown = browse(page, "--dump-dom", folder=tmp_path)
    assert "<title>urt report: tiny</title>" in shown
    assert shown.count('class="card ') == 16
    assert PAYLOADS[0] in Structure(shown).text
    assert not {tag for tag, _ in Structure(shown).tags} & {"script", "iframe", "base"}


@needs_chromium
@pytest.mark.parametrize(("width", "scheme", "paper"), [(1200, 1, (250, 248, 244)), (390, 0, (21, 21, 19))])
def test_a_screenshot_is_painted_in_both_themes(tmp_path, benign, width, scheme, paper):
    """The style sheet applies (its hash is the policy's): paper in the corner, and a page that is not empty."""
    page, picture_path = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(benign, encoding="utf-8")
    flags = (f"--window-size={width},1600", f"--blink-settings=preferredColorScheme={scheme}")
    browse(page, *flags, f"--screenshot={picture_path}", folder=tmp_path)
    with Image.open(picture_path) as screenshot:
        pixels = screenshot.convert("RGB")
        assert pixels.getpixel((2, 2)) == paper
        assert len(pixels.getcolors(maxcolors=2**24) or []) > 50


def test_without_an_evaluation_there_is_no_report(tmp_path):
    with pytest.raises(DataError, match="no evaluation on 'test'"):
        write_report(tmp_path, recipe="tiny", stages=STAGES)
    assert not list(tmp_path.iterdir())


def test_stages_judged_on_different_pairs_are_not_put_side_by_side(tmp_path):
    output_folder(tmp_path, stages=("base", "grpo"))
    result = EvaluationResult.load(tmp_path / "evaluation" / "grpo" / "test")
    replace(result, data={"manifest": "another"}).save(tmp_path / "evaluation" / "grpo" / "test")
    with pytest.raises(DataError, match="judged on different pairs"):
        write_report(tmp_path, recipe="tiny", stages=STAGES)


def test_another_checkpoint_judged_in_the_same_folder_is_not_part_of_the_recipe(tmp_path):
    output_folder(tmp_path, stages=("base",))
    shutil.copytree(tmp_path / "evaluation" / "base", tmp_path / "evaluation" / "another-judge")
    assert "nother-judge" not in write_report(tmp_path, recipe="tiny", stages=STAGES).read_text(encoding="utf-8")


def test_the_timeline_of_a_stage_that_samples_stands_in_the_report(tmp_path):
    data = output_folder(tmp_path)
    spans = [("sampling", 0.0, 4.0), ("learning", 1.0, 3.0)]
    lines = [{"step": 1, "phase": phase, "start": start, "end": end} for phase, start, end in spans]
    (tmp_path / "grpo" / "timeline.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    page = write_report(tmp_path, recipe="tiny", stages=STAGES, split="test", data=data).read_text()
    assert "the policy learned during\n    50 % of the time that was sampled" in page
    assert "sampling, step 1: 0.0 to 4.0 s" in page


def test_without_data_metrics_or_costs_it_shows_the_rest(tmp_path):
    output_folder(tmp_path, stages=("grpo",))
    (tmp_path / "costs.json").unlink()
    (tmp_path / "grpo" / "metrics.csv").unlink()
    text = Structure(write_report(tmp_path, recipe="tiny", stages=STAGES).read_text(encoding="utf-8")).text
    assert "Accuracy after each stage" in text
    assert not any(title in text for title in ("How it learned", "Judged pairs", "Time and memory"))


def test_a_truncated_judgement_is_shown_as_unreadable(tmp_path):
    with ShardWriter(tmp_path / "data") as shards:
        shards.write(record(0, Task.IMAGE_GENERATION))
    data = ShardFolder(tmp_path / "data")
    cut = Completion(text=judgement("Image", 1), finish_reason="length")  # type: ignore[arg-type]
    evaluate(ScriptedEngine(script=lambda prompt, index: cut), data, console=QUIET).save(
        tmp_path / "evaluation/grpo/test"
    )
    judged = JudgedData(metadata=data.metadata, find=partial(records_by_key, data))
    page = write_report(tmp_path, recipe="tiny", stages=STAGES, data=judged).read_text(encoding="utf-8")
    assert "unreadable: truncated" in page
    assert 'outcome-unreadable"' in page


def test_suites_and_other_splits_of_the_last_judge_stand_in_the_report(tmp_path):
    data = output_folder(tmp_path)
    shutil.copytree(tmp_path / "evaluation" / "grpo" / "test", tmp_path / "evaluation" / "grpo" / "test_unseen")
    hostile = "</td><script>alert(1)</script>"
    example = Example(key="pair-1", order="given", before="first", after="second", text=hostile)
    finding = Finding(
        suite="style", variant="border", asks="the loser wins once favoured", ideal=0.0, rate=Rate(successes=3, n=12),
        unreadable=Rate(successes=0, n=12), examples=(example,),
    )  # fmt: skip
    report = SuiteReport(model="judge", num_pairs=12, findings=(finding,), confidences=())
    report.save(tmp_path / "evaluation" / "grpo" / "suites.json")
    page = write_report(tmp_path, recipe="tiny", stages=STAGES, data=data).read_text(encoding="utf-8")
    structure = Structure(page)
    assert "What moves the judge" in structure.text
    assert re.search(r"style: border\s*25\.0 %", structure.text)
    assert re.search(r"right on test unseen95 % interval 50\.5–89\.8\s*75\.0 %", structure.text)
    assert hostile in structure.text
    assert "script" not in {tag for tag, _ in structure.tags}
