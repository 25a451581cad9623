"""The options of `urt serve` as settings, and a judge that names no files of this machine."""

import sys

import pytest

from urt_core.cli import main
from urt_core.cli.commands import serve as command
from urt_core.server import ServerSettings

JUDGE = ("serve", "--base-url", "http://127.0.0.1:1/v1", "--model", "judge", "--dialect", "v1")


@pytest.fixture
def served(monkeypatch):
    """served("--port", "1") -> (scorer, settings) that would be served."""
    found: list = []
    monkeypatch.setattr(command, "serve", lambda scorer, settings: found.append((scorer, settings)))
    monkeypatch.delenv("URT_TOKEN", raising=False)

    def run(*options: str):
        found.clear()
        assert main([*JUDGE, *options]) == 0
        return found[0]

    return run


def test_without_options_the_settings_are_the_servers_own(served) -> None:
    scorer, settings = served()
    assert settings == ServerSettings()
    assert not scorer.allow_paths


def test_every_option_reaches_its_setting(served, monkeypatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret")
    typed = {
        "--host": ("host", "0.0.0.0"), "--port": ("port", 9), "--max-body-mb": ("max_body_bytes", 2 * 2**20),
        "--max-bodies-mb": ("max_bodies_bytes", 3 * 2**20), "--max-requests": ("max_requests", 4), "--max-queue": ("max_queue", 5),
        "--max-candidates": ("max_candidates", 6), "--max-connections": ("max_connections", 7),
        "--max-connections-per-address": ("max_connections_per_address", 8), "--max-prompt-tokens": ("max_prompt_tokens", 10),
        "--answer-timeout": ("answer_timeout_s", 11.0), "--group-timeout": ("group_timeout_s", 12.0), "--reward": ("reward", "score"),
        "--contract": ("contract", "acs"), "--on-failure": ("on_failure", "tie"),
    }  # fmt: skip
    values = {"--max-body-mb": 2, "--max-bodies-mb": 3}
    options = [str(word) for name, (_, value) in typed.items() for word in (name, values.get(name, value))]
    _, settings = served(*options, "--token-env", "MY_TOKEN", "--allow-host", "judge.local")
    assert {name: getattr(settings, name) for name, _ in typed.values()} == dict(typed.values())
    assert (settings.token, settings.allowed_hosts) == ("secret", ("judge.local",))


def test_what_a_server_cannot_be_is_one_line(served, capsys) -> None:
    assert main([*JUDGE, "--host", "0.0.0.0"]) == 1
    assert "there is no token" in capsys.readouterr().err


def test_without_its_packages_the_extra_to_install_is_named(monkeypatch, capsys) -> None:
    for name in ("urt_core.cli.commands.serve", "urt_core.server", "urt_core.server.app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(list(JUDGE)) == 1
    assert 'a server needs fastapi, which is not installed: pip install "urt-core[serve]"' in capsys.readouterr().err
