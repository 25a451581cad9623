"""docker/compose.yaml: both services fit each other, and every flag is one that the program has."""

import re
from pathlib import Path

import pytest
import yaml

from urt_core.cli.arguments import build_parser

FOLDER = Path(__file__).parents[3] / "docker"
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


@pytest.fixture
def services():
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]


def filled(text, **values):
    """As docker compose fills variables in."""
    return VARIABLE.sub(lambda found: values.get(found[1], found[2] or ""), text)


def test_the_server_starts_with_flags_that_it_has(services):
    dockerfile = (FOLDER / "server.Dockerfile").read_text(encoding="utf-8")
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    command = [*yaml.safe_load(entry), *map(filled, services["urt"]["command"])]
    options = build_parser().parse_args(command[1:])
    assert (options.command if hasattr(options, "command") else "serve") == "serve"
    assert (options.base_url, options.model, options.port) == ("http://vllm:8000/v1", "judge", 8090)
    assert services["urt"]["ports"] == ["${URT_PORT:-8090}:8090"]
    assert "URT_TOKEN" in services["urt"]["environment"]  # --host 0.0.0.0 needs one
    assert services["urt"]["build"]["args"]["EXTRAS"] == "serve"
    assert "ARG EXTRAS=" in dockerfile


def test_the_endpoint_is_what_the_server_asks_for(services):
    flags = dict(filled(flag, MODEL="m").removeprefix("--").split("=", 1) for flag in services["vllm"]["command"])
    assert flags["served-model-name"] == "judge"
    assert (flags["generation-config"], flags["logprobs-mode"]) == ("vllm", "processed_logprobs")
    limits = yaml.safe_load(flags["mm-processor-kwargs"])["size"]
    asked = dict(filled(flag).removeprefix("--").split("=", 1) for flag in services["urt"]["command"])
    assert (str(limits["shortest_edge"]), str(limits["longest_edge"])) == (asked["min-pixels"], asked["max-pixels"])
    assert yaml.safe_load(flags["limit-mm-per-prompt"]) == {"image": 16, "video": 0}
