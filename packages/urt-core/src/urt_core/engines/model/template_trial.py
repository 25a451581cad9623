"""A chat template is a program of whoever made the model's folder. Jinja's sandbox keeps it from files and attributes,
not from looping; so it is rendered once in a process that may be killed, before anybody waits for it.

    python template_trial.py < chat_template.jinja      0: it ended; anything else: it did not
"""

import json
import subprocess
import sys

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_BYTES = 256 << 10
"""Of a template; published ones have at most a few tens of thousands."""
CPU_SECONDS = 3
MEMORY_BYTES = 1 << 30
MAX_RENDERED = 1 << 20
TEXT = "Which is better? " * 60
MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": TEXT}]},
    *[
        {"role": role, "content": [{"type": "image"}, {"type": "text", "text": TEXT}, {"type": "image"}]}
        for role in ("user", "assistant", "user")
    ],
]
PLAIN = [{"role": message["role"], "content": TEXT} for message in MESSAGES]
"""As some templates want it."""


def try_template(template: str, *, name: str) -> None:
    """CheckpointError where rendering a short conversation takes too long, too much memory or makes too long a
    prompt."""
    from urt_core.errors import CheckpointError

    source = template.encode("utf-8", "replace")
    if len(source) > MAX_BYTES:
        raise CheckpointError(f"the chat template of {name} has {len(source):,} bytes, allowed are {MAX_BYTES:,}")
    # -I: what lies in the working directory or the environment is not imported.
    command = [sys.executable, "-I", __file__]
    try:
        code = subprocess.run(
            command, input=source, capture_output=True, timeout=20 * CPU_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if code != 0:
        raise CheckpointError(
            f"the chat template of {name} does not render a short conversation within {CPU_SECONDS} s and {MAX_RENDERED:,} "
            "characters; give the folder the chat_template.jinja of the model that it was made from"
        )


class _Generation(Extension):
    """The block that transformers knows: what the model wrote itself."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_whole"), [], [], body).set_lineno(line)

    def _whole(self, caller) -> str:
        return caller()


def _raise(message: str) -> None:
    raise TemplateError(message)


def render(source: str) -> int:
    """The longest of what it makes of two spellings of a conversation; a template that refuses both makes nothing."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False)
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda form: "30 Nov 2026"}
    longest = 0
    for messages in (MESSAGES, PLAIN):
        try:
            text = environment.from_string(source).render(
                messages=messages, add_generation_prompt=True, enable_thinking=False, tools=None
            )
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - what a template refuses is said where a conversation meets it
            continue
        longest = max(longest, len(text))
    return longest


def main() -> int:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    return 0 if render(sys.stdin.buffer.read().decode("utf-8", "replace")) <= MAX_RENDERED else 1


if __name__ == "__main__":
    sys.exit(main())
