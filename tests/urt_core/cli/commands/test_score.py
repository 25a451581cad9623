"""`urt score --against anchors`: a judge's folder with anchors, its weights behind an endpoint."""

import json
import math
from dataclasses import replace

import pytest
from PIL import Image

from tests.urt_core.cli.conftest import shades
from urt_core import Dialect, JudgeSpec, Task
from urt_core.cli import main
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.instant import Anchor, AnchorSet, CalibrationKind, InstantCalibration, TaskCalibration
from urt_core.instant.anchors import file_names, sigmoid
from urt_core.records import Media, MediaKind

SHADES = (40, 100, 160, 220)
STRENGTH = 40
"""Shades for each unit of log-odds."""
ASKED = ("--task", "image_generation", "--text", "a red car")


def answer(request):
    """The redder image is better, with the odds of the difference."""
    first, second = shades(request)
    probability = sigmoid((first - second) / STRENGTH)
    number, chance = ("1", probability) if probability >= 0.5 else ("2", 1 - probability)
    likeliest = [
        {"token": number, "logprob": math.log(chance)},
        {"token": str(3 - int(number)), "logprob": math.log(1 - chance)},
    ]
    tokens = [
        {"token": "Image ", "logprob": -0.01, "top_logprobs": []},
        likeliest[0] | {"top_logprobs": likeliest},
        {"token": " is better.", "logprob": -0.01, "top_logprobs": []},
    ]  # fmt: skip
    message = {"role": "assistant", "content": f"Image {number} is better."}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": tokens}}
    return chat_reply("", model=request.json["model"], choices=[choice])


@pytest.fixture
def folder(tmp_path):
    """A judge's folder: judge.json and four pictures."""
    model = tmp_path / "model"
    model.mkdir()
    anchors = []
    for number, shade in enumerate(SHADES):
        [name] = file_names(Task.IMAGE_GENERATION, number, 1)
        Image.new("RGB", (16, 16), (shade, 0, 0)).save(model / name)
        anchors.append(Anchor(candidate=Media(kind=MediaKind.IMAGE, files=(name,)), strength=shade / STRENGTH))
    same = TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=1.0)
    JudgeSpec(
        dialect=Dialect.V1, dimensions={}, min_pixels=64, max_pixels=4096, num_frames=2, stage="internalise", base="tiny",
        calibration=InstantCalibration(tasks={"image_generation": same, "video_generation": same}),
        anchors=AnchorSet(tasks={"image_generation": tuple(anchors)}),
    ).save(model)  # fmt: skip
    return model


@pytest.fixture
def score(folder, capsys):
    with ScriptedEndpoint(script=answer) as endpoint:

        def run(*options: object):
            code = main(["score", "--model", str(folder), "--base-url", endpoint.base_url, *map(str, options)])
            printed = capsys.readouterr()
            return code, printed.out, printed.err, endpoint.num_requests

        yield run


def test_one_candidate_on_the_scale_of_the_anchors(score, picture):
    code, out, _, asked = score(*ASKED, "--candidate", picture(130), "--against", "anchors", "--json")
    found = json.loads(out)
    expected = sum(sigmoid((130 - shade) / STRENGTH) for shade in SHADES) / 4
    assert (code, found["status"], found["calibrated"], found["num_votes"], asked) == (0, "ok", True, 8, 8)
    assert found["score"] == pytest.approx(expected, abs=1e-6)
    assert found["interval"] == pytest.approx([expected, expected], abs=1e-6), "one strength explains all that it says"
    _, out, *_ = score(*ASKED, "--candidate", picture(130), "--against", "anchors")
    assert out.startswith("0.50  (0.50 to 0.50) against anchors, calibrated\n")
    assert "is better" not in out


def test_a_file_of_candidates(score, picture, tmp_path):
    rows = [
        {"task": "image_generation", "text": "a red car", "candidate": picture(shade), "key": f"c-{shade}"}
        for shade in (20, 130, 250)
    ]
    rows += [
        {"task": "video_generation", "text": "a red car", "candidate": [picture(20)], "key": "clip"},
        {"text": "no task", "key": "bad"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--against", "anchors")
    code, *_ = score(*given, "--max-failures", "0.5")
    found = {line["key"]: line for line in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    scores = [found[f"c-{shade}"]["score"] for shade in (20, 130, 250)]
    assert code == 0
    assert scores == sorted(scores)
    assert "no anchors of video_generation" in found["clip"]["detail"]
    assert [found[key]["status"] for key in ("clip", "bad")] == ["bad_record"] * 2
    assert {line["against"] for line in found.values()} == {"anchors"}


def test_what_it_costs_is_known_before(score, picture):
    code, out, _, asked = score(*ASKED, "--candidate", picture(130), "--against", "anchors", "--dry-run")
    assert (code, asked) == (0, 0)
    assert out.startswith("1 requests, 8 completions, at most 128 tokens\n")


def test_what_is_wrong_is_one_line(score, folder, picture, capsys):
    asked = (*ASKED, "--candidate", picture(130), "--against", "anchors")
    with pytest.raises(SystemExit):
        score(*asked, "--contract", "acs")
    assert "not allowed with argument --against" in capsys.readouterr().err
    spec = JudgeSpec.load(folder)
    for changed, words in (
        (replace(spec, anchors=None), "this judge has none in its judge.json"),
        (replace(spec, calibration=None), "this judge has no calibration"),
    ):
        changed.save(folder)
        code, _, err, num_requests = score(*asked)
        assert (code, err.count("\n"), num_requests) == (1, 1, 0)
        assert words in err
    (folder / "anchor-image-generation-0.png").write_bytes(b"no picture")
    code, _, err, _ = score(*asked)
    assert (code, err.count("\n")) == (1, 1)
    assert "anchor-image-generation-0.png begins like neither a PNG nor a JPEG" in err
