"""The commands and examples of docs/serving.md, run against a scripted endpoint in the place of its judge."""

import ast
import base64
import importlib
import io
import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.shell import commands_of
from urt_core import Dialect, JudgeSpec, Scorer
from urt_core.adapters import flow_grpo, verl_omni
from urt_core.adapters.served import ServedJudge
from urt_core.adapters.verl import make_win_rate_score
from urt_core.calibration import Calibration
from urt_core.cli import main
from urt_core.cli.arguments import build_parser
from urt_core.comparison import ProbabilityMethod
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.server import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
COMMANDS = [command for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for command in commands_of(block)]
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
URL, FOLDER, SERVED_FOLDER = "http://localhost:8000/v1", "outputs/tiny/grpo/model", "outputs/qwen3_vl_8b/grpo/model"
SPEC = JudgeSpec(
    dialect=Dialect.V2,
    dimensions={},
    min_pixels=65536,
    max_pixels=262144,
    num_frames=8,
    stage="grpo",
    base="base",
    max_completion_tokens=2048,
)
JUDGEMENT = """<think>
1. Semantic consistency: Image 1 ({0}/10) - as asked; Image 2 ({1}/10) - as asked
2. Aesthetics: Image 1 (7/10) - sharp; Image 2 (7/10) - sharp
3. Authenticity: Image 1 (8/10) - whole; Image 2 (8/10) - whole
Total score:
Image 1: {0}+7+8={2}
Image 2: {1}+7+8={3}
</think>
<answer>Image {4} is better</answer>"""


def judge(request):
    """Prefers the redder image."""
    content, model = request.json["messages"][0]["content"], request.json["model"]
    is_v2 = any("careful and impartial" in part.get("text", "") for part in content)
    # A judge of dialect v2, served as a folder or under a name of its own, must be asked as its judge.json says.
    assert (model, is_v2) in {("judge", False), ("judge", True), (SERVED_FOLDER, True)}
    if is_v2:
        assert request.json["max_tokens"] == 2048
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    images = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
    if len(images) == 1:
        return chat_reply("Alignment Score (1-5): 4\nCoherence Score (1-5): 4\nStyle Score (1-5): 4")
    red = [image.tobytes()[0] for image in images]  # of the first pixel
    first, second = (9, 4) if red[0] > red[1] else (4, 9)
    text = JUDGEMENT.format(first, second, first + 15, second + 15, 1 if first > second else 2)
    return chat_reply(in_blocks(text) if is_v2 else text, model=model)


def in_blocks(text: str) -> str:
    """The judgement in the shape of dialect v2."""
    return re.sub(r"(\d\. .*?): (Image 1 .*?); (Image 2 .*)", r"\1:\n    \2;\n    \3", text)


@pytest.fixture
def endpoint(tmp_path, monkeypatch):
    """The files that the page names, in the working directory, and the judge."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name, shade in (("a", 250), ("b", 50), ("c", 150)):
        Image.new("RGB", (64, 64), (shade, 0, 0)).save(tmp_path / "images" / f"{name}.png")
    row = {"task": "image_generation", "text": "a red car", "first": "images/a.png", "second": "images/b.png"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / SERVED_FOLDER).mkdir(parents=True)
    SPEC.save(tmp_path / SERVED_FOLDER)
    Calibration(method=ProbabilityMethod.LOGPROB, points=((0.1, 0.2), (0.9, 0.8))).save("calibration.json")
    (tmp_path / "judgement.txt").write_text(JUDGEMENT.format(9, 4, 24, 19, 1))
    with ScriptedEndpoint(script=judge) as running:
        yield running


def test_the_page_has_what_is_tested_here():
    assert {command[0] for command in COMMANDS} == {
        "urt",
        "curl",
        "pip",
        "source",
        "vllm",
    }  # the last: tests/test_readme.py
    assert {command[1] for command in COMMANDS if command[0] == "urt"} == {
        *("compare", "rank", "score", "parse", "serve", "judges", "doctor"),
    }
    assert len(EXAMPLE.findall(PAGE)) == PAGE.count("```python") == 2


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] == "urt"], ids=lambda command: command[1])
def test_commands(command, endpoint, capsys):
    build_parser().parse_args(command[1:])  # as it stands on the page
    if command[1] in ("serve", "doctor") or "--judge" in command:
        return  # tests/urt_core/{server/test_running,engines/endpoint/test_doctor}.py; the last's weights are at a hub
    judged_elsewhere = [word.replace(URL, endpoint.base_url) for word in command[1:]]
    if FOLDER in command:
        at = judged_elsewhere.index(FOLDER)
        judged_elsewhere[at : at + 1] = ["judge", "--dialect", "v1", "--base-url", endpoint.base_url]
    assert main(judged_elsewhere) == 0, capsys.readouterr().err
    if "--output" in command:
        assert json.loads(Path(command[command.index("--output") + 1]).read_text())["preference"] == "first"


def test_what_goes_into_a_trainer_can_be_imported():
    """The snippets of other programs are no programs; what they take from urt is there, and takes what they give."""
    snippets = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    assert len(snippets) == 3
    for statement in (one for snippet in snippets for one in ast.parse(snippet).body):
        if isinstance(statement, ast.ImportFrom):
            assert statement.module is not None
            module = importlib.import_module(statement.module)
            for name in statement.names:
                assert hasattr(module, name.name) or importlib.import_module(f"{statement.module}.{name.name}")
    judge = ServedJudge("http://judge:8090", token="...")
    assert callable(flow_grpo.served(judge, group_size=24))
    assert callable(make_win_rate_score(ServedJudge("http://judge:8090", task="image_understanding"), group_size=8))
    assert callable(verl_omni.make_compute_score(judge, group_size=8))


def test_the_request_with_curl():
    [command] = [command for command in COMMANDS if command[0] == "curl"]
    engine = ScriptedEngine(script=lambda prompt, index: "Answer 1 is better.")
    app = TestClient(
        create_app(Scorer(engine=engine, dialect="direct", allow_paths=False)), base_url="http://127.0.0.1"
    )
    path = "/" + command[2].split("/", 1)[1]
    answer = app.post(path, content=command[command.index("-d") + 1], headers=dict([command[4].split(": ")]))
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_the_examples_print_what_the_page_says(endpoint, capsys):
    names: dict = {}
    for code, expected in EXAMPLE.findall(PAGE):
        # The second example goes on with the scorer of the first, after its connections were closed.
        exec(code.replace(URL, endpoint.base_url), names)  # noqa: S102
        assert capsys.readouterr().out == expected
    names["engine"].close()
