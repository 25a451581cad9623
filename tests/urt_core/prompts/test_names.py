"""Names of contracts: members, added ones, and names that import nothing."""

import pickle
import sys

import pytest

from urt_core import Dialect, PointContract
from urt_core.prompts.names import ContractName, contract_of


def test_a_member_and_a_built_in_name_are_the_same_object_each_time() -> None:
    assert Dialect("v1") is Dialect.V1
    assert Dialect("general") is Dialect("general")
    assert isinstance(Dialect("general"), Dialect)
    assert str(Dialect("general")) == "general"
    assert Dialect("general") not in list(Dialect)


def test_an_added_name_belongs_to_its_kind_alone() -> None:
    class Kind(ContractName):
        ONE = "one"

    added = Kind.add("mine")
    assert added is Kind.add("mine") is Kind("mine")
    assert Kind.add("one") is Kind.ONE
    assert (added.value, added.name) == ("mine", "mine")
    with pytest.raises(ValueError, match="mine"):
        Dialect("mine")


@pytest.mark.parametrize("value", ["v9", "os:system", "nowhere:contract", 3, None])
def test_a_name_that_nobody_loaded_is_none_and_nothing_is_imported(value: object) -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError):
        Dialect(value)
    assert "nowhere" not in set(sys.modules) - before


def test_copies_are_the_same_object() -> None:
    for name in (Dialect.V2, Dialect("flex"), PointContract.ACS):
        assert pickle.loads(pickle.dumps(name)) is name  # noqa: S301  (bytes of this line)


def test_a_name_leads_to_its_contract_of_its_kind() -> None:
    assert contract_of(Dialect("pair_score")).asks == "pair"
    assert contract_of(PointContract.ACS).asks == "candidate"
