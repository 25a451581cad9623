"""The contracts of the released weights read what they write."""

import pytest

from urt_core import (
    Dialect,
    Judgement,
    ParseFailure,
    PointContract,
    Preference,
    Task,
    parse_judgement,
)
from urt_core.contracts import CONTRACTS, contract_of
from urt_core.prompts.scale import PointScale


@pytest.mark.parametrize("name", [*CONTRACTS[Dialect]])
def test_every_built_in_contract_reads_its_own_verdicts(name: str) -> None:
    contract = contract_of(Dialect(name))
    for task in contract.scales:
        assert isinstance(contract.read("", task), ParseFailure)
        for preference in (Preference.FIRST, Preference.SECOND):
            text = contract.verdict(task, preference)
            text = f"<think></think><answer>{text}</answer>" if name in (Dialect.V1, Dialect.V2) else text
            read = parse_judgement(text, task=task, dialect=Dialect(name))
            assert isinstance(read, Judgement)
            assert read.verdict is preference
            assert contract.has_shape(text, read)


def test_the_members_are_those_of_the_released_weights() -> None:
    assert [str(member) for member in Dialect] == ["v1", "v2", "direct"]
    assert CONTRACTS[Dialect].keys() >= {
        "general",
        "edit_pair",
        "flex",
        "pair_score",
    }
    assert PointScale(low=1, high=5) == contract_of(PointContract.FINAL_SCORE).scales[Task.IMAGE_GENERATION]
