"""What `--fields` prints is what the config classes say."""

import pytest

from urt_core.errors import UrtError
from urt_train.config.fields import describe
from urt_train.stages import train_config


def test_a_field_has_its_value_and_its_meaning() -> None:
    assert describe(train_config(), "trainer.num_nodes") == (
        "trainer.num_nodes = 1\n    Nodes; more than one is launched by torchrun or SLURM."
    )


def test_every_field_has_a_meaning() -> None:
    lines = describe(train_config()).split("\n")
    fields = [number for number, line in enumerate(lines) if not line.startswith(" ") and " = " in line]
    assert len(fields) > 150
    without = [
        lines[number] for number in fields if not lines[number + 1 : number + 2] or not lines[number + 1].strip()
    ]
    assert without == []


def test_a_part_is_shown_alone_and_an_unknown_one_named() -> None:
    assert all(line.startswith(("grpo.", "    ")) for line in describe(train_config(), "grpo").split("\n"))
    with pytest.raises(UrtError, match=r"^no field begins with 'grpo\.nothing'; --fields alone lists all$"):
        describe(train_config(), "grpo.nothing")
