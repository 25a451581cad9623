"""The machine that a dry run computes for."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config.dry_run import DryRunConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 0}, r"dry_run\.devices is 0; allowed: 1 or more"),
        ({"device_memory_gib": 0.0}, r"dry_run\.device_memory_gib is 0\.0; allowed: a number above 0"),
        ({"reserve_gib": -1.0}, r"dry_run\.reserve_gib is -1\.0; allowed: 0 or more"),
        ({"caption_tokens": 0}, r"dry_run\.caption_tokens is 0; allowed: 1 or more"),
        ({"completion_tokens": 0}, r"dry_run\.completion_tokens is 0; allowed: 1 or more"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DryRunConfig(**settings)


def test_the_longest_judgement_is_assumed_where_none_is_said():
    assert DryRunConfig().completion_tokens is None
