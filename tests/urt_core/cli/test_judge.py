"""The judge that the options of a command describe, here on vLLM servers: who answers, and what is refused."""

import json
import re
from collections import Counter

import pytest

from tests.urt_core.cli.bench.test_run import labelled_pairs
from tests.urt_core.cli.conftest import answer
from tests.urt_core.engines.test_servers import MODELS
from urt_core.cli import main
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint
from urt_core.errors import ConfigError
from urt_core.scorer import Scorer


@pytest.fixture
def judged() -> Counter[str]:
    """How many pairs each server has judged."""
    return Counter()


@pytest.fixture
def servers(judged, is_up):
    """The addresses of two servers of one judge."""

    def script(name: str):
        def reply(request: Request) -> Reply:
            if not all(is_up):
                return Reply(status=503)
            if request.method == "GET":
                return MODELS if request.path == "/v1/models" else Reply()
            judged[name] += 1
            return answer(request)

        return reply

    with ScriptedEndpoint(script=script("one")) as one, ScriptedEndpoint(script=script("two")) as two:
        yield [endpoint.base_url.removesuffix("/v1") for endpoint in (one, two)]


@pytest.fixture
def is_up() -> list[bool]:
    """Whether the servers are."""
    return [True]


@pytest.fixture
def served(servers, capsys):
    def run(*command: object, addresses: tuple[str, ...] = (), judge: tuple[str, ...] = ("--model", "judge")):
        options = ["--engine", "vllm_server", "--vllm-servers", *(addresses or servers)]
        code = main([*map(str, command), *judge, *options])
        return code, *capsys.readouterr()

    return run


def request(picture) -> tuple[str, ...]:
    return "--task", "image_generation", "--text", "a red car", "--first", picture(200), "--second", picture(20)


def test_two_servers_share_a_comparison_a_ranking_and_a_score(served, judged, picture) -> None:
    code, out, err = served("compare", *request(picture), "--dialect", "v1", "--json")
    assert (code, json.loads(out)["preference"]) == (0, "first"), err
    assert judged == {"one": 1, "two": 1}
    candidates = [picture(shade) for shade in (60, 220, 140)]
    asked = ("--task", "image_generation", "--text", "a red car")
    code, out, _ = served("rank", *asked, "--candidates", *candidates, "--dialect", "v1", "--json")
    assert (code, json.loads(out)["order"]) == (0, [1, 2, 0])
    code, out, _ = served("score", *asked, "--candidate", picture(9), "--contract", "acs", "--json")
    assert (code, json.loads(out)["status"]) == (0, "ok")
    assert sum(judged.values()) == 2 + 6 + 1
    assert min(judged.values()) >= 3


def test_a_benchmark_on_two_servers_has_the_lines_of_one(served, servers, judged, picture, tmp_path) -> None:
    data = labelled_pairs(picture, tmp_path)
    common = (
        "bench",
        "run",
        "--benchmark",
        "pairs",
        "--data",
        data,
        "--dialect",
        "v1",
        "--max-failures",
        1,
        "--output",
    )
    assert served(*common, tmp_path / "two")[0] == 0
    assert min(judged["one"], judged["two"]) >= 4
    assert sum(judged.values()) == 20
    assert served(*common, tmp_path / "one", addresses=(servers[0],))[0] == 0
    one, two = ((tmp_path / name / "judgements.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two
    assert json.loads((tmp_path / "two" / "about.json").read_text())["judge"] == {"model": "judge@png"}


@pytest.mark.parametrize("command", ["run", "suites", "compare"])
def test_what_is_answered_already_needs_no_engine(served, judged, is_up, picture, tmp_path, command) -> None:
    data, output = labelled_pairs(picture, tmp_path, unreadable=0), tmp_path / "out"
    words = {
        "run": ("bench", "run", "--benchmark", "pairs", "--data", data),
        "suites": ("bench", "suites", "--data", data, "--pairs", 4),
        "compare": ("compare", "--input", data),
    }[command]
    whole = (*words, "--dialect", "v1", "--output", output)
    code, first, _ = served(*whole)
    assert code == 0
    asked = sum(judged.values())
    is_up[0] = False
    code, again, said = served(*whole)
    assert (code, again) == (0, first), said
    code, _, said = served(*whole, "--max-tokens", 77)
    assert (code, "max_tokens" in said) == (1, True), "what differs is said without an engine"
    lines = output if command == "compare" else output / "parts" / "rank-0000.jsonl"
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:-1]))
    code, _, said = served(*whole)
    assert (code, "can't be used" in said) == (1, True), said
    is_up[0] = True
    assert served(*whole)[:2] == (0, first)
    assert sum(judged.values()) - asked <= 3  # votes of one pair, at the most


def test_the_same_in_python(servers, judged, picture) -> None:
    scorer = Scorer.from_pretrained(
        "judge", engine="vllm_server", dialect="v1", engine_options={"vllm_servers": servers, "in_flight": 1}
    )
    ranking = scorer.rank(task="image_generation", text="a red car", candidates=[picture(9), picture(90)])
    assert ranking.order == (1, 0)
    assert judged == {"one": 1, "two": 1}


def test_servers_and_an_endpoint_are_two_judges() -> None:
    with pytest.raises(ConfigError, match=r"engine is vllm_server and base_url is http://b/v1; allowed: one of them"):
        Scorer.from_pretrained("judge", engine="vllm_server", base_url="http://b/v1", dialect="v1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--engine vllm_server", r"--vllm-servers is not given; allowed: vllm_server with addresses such as http://gpu-1"),
        ("--vllm-servers http://a", r"--engine is transformers and --vllm-servers is http://a; allowed: vllm_server"),
        ("--engine vllm_server --vllm-servers http://a/v1", r"vllm_servers is http://a/v1; allowed: different addresses"),
        ("--engine vllm_server --vllm-servers http://a --vllm-servers http://a", r"vllm_servers is http://a, http://a;"),
        ("--engine vllm_server --vllm-servers http://a --base-url http://b/v1", r"--base-url is http://b/v1, .* and --engine vllm_server --vllm-servers http://a is for a judge without one; leave"),
        ("--engine vllm --base-url http://b/v1", r"--base-url is http://b/v1, an endpoint .* and --engine vllm is for .*; leave one of the two out"),
        ("--engine transformers --base-url http://b/v1", r"and --engine transformers is for a judge without one"),
        ("--device cpu --base-url http://b/v1", r"and --device cpu is for a judge without one"),
        ("--engine vllm_server --vllm-servers http://a --engine-option top_k=1", r"hold top_k; allowed: api_key, .*vllm_servers"),
        ("--engine vllm_server --vllm-servers http://a --budget-tokens 9", r"--budget-tokens and --budget-cost are for endpoints"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line(capsys, picture, options: str, message: str) -> None:
    assert main(["compare", *request(picture), "--model", "judge", "--dialect", "v1", *options.split()]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said


def test_a_server_of_another_judge_is_named(served, servers, picture) -> None:
    code, _, err = served("compare", *request(picture), "--dialect", "v1", judge=("--model", "another"))
    assert code == 1
    assert "2 of 2 vLLM servers (vllm_servers) can't be used" in err
    assert all(f"{address}: serves judge, and not another" in err for address in servers)
