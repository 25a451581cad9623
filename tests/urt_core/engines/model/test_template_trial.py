"""A chat template is tried in a process of its own: what loops, grows or eats is refused, what is harmless is used."""

import time

import pytest

from tests.urt_core.engines.conftest import CHAT_TEMPLATE
from urt_core.engines.model.template_trial import MAX_BYTES, try_template
from urt_core.errors import CheckpointError

SLOT = "<|vision_start|><|image_pad|><|vision_end|>"
LOOP = "{% for a in range(99999) %}"
END = "{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        f"{LOOP * 2}{END * 2}{SLOT}",
        "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}" + LOOP + "{{ f(1) }}" + END,
        "{{ 'x' * 10 ** 9 }}",
        "{{ 'x' * 3 * 10 ** 6 }}",
        "{{ 'x'.ljust(10 ** 10) }}",
        "{{ '%2000000000d' % 1 }}",
        "{% set n = namespace(t='x') %}{% for a in range(40) %}{% set n.t = n.t + n.t %}{% endfor %}{{ n.t }}",
        LOOP + "{{ messages | tojson }}" + END,
        "x" * (MAX_BYTES + 1),
    ],
)
def test_what_does_not_end_is_refused(template: str) -> None:
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="chat template of judge"):
        try_template(template, name="judge")
    assert time.monotonic() - began < 70


@pytest.mark.parametrize(
    "template",
    [
        "",
        SLOT,
        CHAT_TEMPLATE,
        "{% for message in messages %}{{ message['content'] | tojson(indent=2) }}{% generation %}x{% endgeneration %}{% endfor %}",
        "{% for message in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ strftime_now('%Y') }}{% endfor %}",
        "{{ raise_exception('Conversation roles must alternate') }}",
        "{{ messages[0].nothing.at.all }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for",
        "\ud800",
    ],
)
def test_what_ends_is_let_through(template: str) -> None:
    """Also what Jinja refuses: whoever asks is told then."""
    try_template(template, name="judge")
