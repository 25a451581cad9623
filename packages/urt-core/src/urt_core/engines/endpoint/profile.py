"""Endpoint profiles: what a gateway wants to be sent and how it answers, one YAML file each in `profiles/`.

A profile is data. Chosen by name everywhere (`--profile`, `URT_PROFILE`, `profile:` in YAML,
`OpenAIEngine(profile=...)`); each of its fields can be overridden by itself; a path to a YAML file of one's own works
wherever a name does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from urt_core.errors import ConfigError

FOLDER = Path(__file__).parent / "profiles"
ANY_MODEL = "*"
# What a profile may leave out; messages, model and the token limit are always sent.
# Of temperature and top_p, which some take only one of, the second can be missed.
OPTIONAL_FIELDS = ("top_p", "temperature", "n", "seed", "stream", "logprobs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one kind of endpoint wants and does.

    Profile(name="openai-reasoning", max_tokens_name="max_completion_tokens", leave_out=("temperature", "top_p"))
    """

    name: str
    about: str = ""
    """One line for `urt doctor`."""
    max_tokens_name: str = "max_tokens"
    leave_out: tuple[str, ...] = ()
    """Fields that are never sent, because the endpoint refuses them; it then uses its own value."""
    max_n: int | None = None
    """Completions a request may ask for; more are asked for in several requests, with seeds apart. None: as many as
    wanted."""
    accepted_models: tuple[str, ...] = ()
    """Names that the endpoint may answer under besides the one it was asked for; "*" is any."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are always sent."""
    key_header: Literal["Authorization", "api-key"] = "Authorization"
    recognised_by: Mapping[str, str] = field(default_factory=dict)
    """Of `urt doctor`: what in an address (`host`), a list of models (`owned_by`), an answer's headers (`header`) or
    behaviour (`behaviour`) tells this endpoint."""

    def __post_init__(self) -> None:
        for name in ("leave_out", "accepted_models"):
            value = getattr(self, name)
            names = value.split(",") if isinstance(value, str) else value  # one word, or several with commas
            if not isinstance(names, list | tuple) or not all(isinstance(item, str) for item in names):
                raise ConfigError(f"profile {self.name}: {name} is {value!r}; it must be a list of names")
            object.__setattr__(self, name, tuple(item.strip() for item in names))
        if unknown := sorted(set(self.leave_out) - set(OPTIONAL_FIELDS)):
            raise ConfigError(
                f"profile {self.name}: leave_out holds {', '.join(unknown)}; allowed: {', '.join(OPTIONAL_FIELDS)}"
            )
        if not isinstance(self.max_tokens_name, str) or not self.max_tokens_name:
            raise ConfigError(f"profile {self.name}: max_tokens_name is {self.max_tokens_name!r}; it must be a name")
        if self.max_n is not None and (not isinstance(self.max_n, int) or self.max_n < 1):
            raise ConfigError(f"profile {self.name}: max_n is {self.max_n!r}; it must be at least 1, or null")
        if self.key_header not in ("Authorization", "api-key"):
            raise ConfigError(
                f"profile {self.name}: key_header is {self.key_header!r}; allowed: 'Authorization', 'api-key'"
            )
        if not isinstance(self.extra_body, Mapping) or "messages" in self.extra_body:
            raise ConfigError(
                f"profile {self.name}: extra_body must be a mapping of fields, and messages are the prompt's own"
            )

    def changed(self, **changes: Any) -> "Profile":
        """With the settings that are given (not None) in place of its own; `extra_body` is added to its own."""
        given = {name: value for name, value in changes.items() if value is not None}
        if isinstance(given.get("extra_body"), Mapping):
            given["extra_body"] = {**self.extra_body, **given["extra_body"]}
        return replace(self, **given)

    @property
    def identity(self) -> tuple[str, ...]:
        """What of it can change an answer: part of the name under which answers are cached."""
        without = [name for name in self.leave_out if name in ("temperature", "top_p", "seed")]
        return (
            *(f"{name}={value}" for name, value in sorted(self.extra_body.items())),
            *([f"without {' '.join(without)}"] if without else []),
        )


def load_profile(name: "str | Path | Profile") -> Profile:
    """The profile of this name, or of a YAML file of one's own."""
    if isinstance(name, Profile):
        return name
    known = profile_names()
    if str(name) in known:
        return read_profile(FOLDER / f"{name}.yaml")
    if str(name).endswith((".yaml", ".yml")):
        return read_profile(Path(name))
    raise ConfigError(f"profile is {str(name)!r}; known: {', '.join(known)}, or the path of a YAML file")


@cache
def profile_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def read_profile(path: Path) -> Profile:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"profile {path} can't be read ({error}); known: {', '.join(profile_names())}") from error
    allowed = {item.name for item in fields(Profile)} - {"name"}
    if not isinstance(value, dict) or not value.keys() <= allowed:
        unknown = sorted(map(str, set(value) - allowed)) if isinstance(value, dict) else type(value).__name__
        raise ConfigError(f"profile {path} holds {unknown}; allowed: {', '.join(sorted(allowed))}")
    return Profile(name=path.stem, **value)
