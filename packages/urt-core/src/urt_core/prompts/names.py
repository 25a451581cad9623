"""Names of contracts: the members are those of the released weights; others are added by whoever loads them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from urt_core.contracts.contract import Contract

_added: dict[tuple[type, str], "ContractName"] = {}


class ContractName(StrEnum):
    """A built-in contract by its member, any other by its name once it is loaded (`urt_core.contracts.load_contract`).

    A name alone never imports a module: names also stand in files that came with data or weights. Only contracts that
    are built in, that an installed package declares, or that the user named himself are found.
    """

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, str):
            return None
        if (cls, value) not in _added:
            from urt_core.contracts import find_contract

            find_contract(cls, value)
        return _added.get((cls, value))

    @classmethod
    def add(cls, value: str) -> Self:
        """The name as a value of this kind; the same object each time."""
        known = cls._value2member_map_.get(value) or _added.get((cls, value))
        if known is None:
            known = str.__new__(cls, value)
            known._name_, known._value_ = value, value
            _added[cls, value] = known
        return known  # type: ignore[return-value]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Another process of ours loads the contract too."""
        from urt_core.contracts import load_contract

        return load_contract, (self.value, type(self))


def contract_of(name: ContractName) -> "Contract":
    """The contract behind a name."""
    from urt_core.contracts import CONTRACTS

    return CONTRACTS[type(name)][name.value]
