"""What a run may spend at an endpoint."""

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from urt_core.engines import Usage
from urt_core.errors import BudgetError, ConfigError


class Ledger(Protocol):
    """Where several processes note what they spend (`urt_core.judging.spending.Spending`)."""

    def note(self, usage: Usage) -> None: ...

    def total(self) -> Usage: ...


@dataclass(kw_only=True)
class Budget:
    """Counts tokens and money over all requests that share it, and says when one of them is used up. Processes that
    share a ledger have one budget.

    Requests in flight when a limit is reached still finish: the overshoot is at most what they cost, those of all
    processes together.

    Budget(max_tokens=2_000_000, max_cost=5.0, prompt_price=0.15, completion_price=0.60)    # prices per million tokens
    """

    max_tokens: int | None = None
    """Prompt and completion tokens together."""
    max_cost: float | None = None
    """In the currency of the prices."""
    prompt_price: float = 0.0
    """Per million prompt tokens."""
    completion_price: float = 0.0
    """Per million completion tokens."""
    spent: Usage = field(default_factory=Usage)
    num_requests: int = 0
    _ledger: Ledger | None = field(default=None, repr=False)
    _before: Usage = field(default_factory=Usage, repr=False)
    """Spent outside of the ledger."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.max_cost is not None and not (self.prompt_price or self.completion_price):
            raise ConfigError(f"max_cost is {self.max_cost} but both prices are 0; give prices per million tokens")

    @classmethod
    def of(cls, settings: Any) -> Self | None:
        """By the options of a command or a section of a config: `budget_tokens`, `budget_cost`, `prompt_price`,
        `completion_price`. None where they set no limit."""
        if settings.budget_tokens is None and settings.budget_cost is None:
            return None
        return cls(
            max_tokens=settings.budget_tokens,
            max_cost=settings.budget_cost,
            prompt_price=settings.prompt_price,
            completion_price=settings.completion_price,
        )

    @property
    def cost(self) -> float:
        return (
            self.spent.prompt_tokens * self.prompt_price + self.spent.completion_tokens * self.completion_price
        ) / 1e6

    def share(self, ledger: Ledger) -> None:
        """Count what stands in `ledger`, and what others note there, from now on."""
        with self._lock:
            if ledger is not self._ledger:
                self._before, self._ledger = self.spent, ledger
                self.spent += ledger.total()

    def add(self, usage: Usage) -> None:
        with self._lock:
            self.num_requests += 1
            if self._ledger is None:
                self.spent += usage
            else:
                self._ledger.note(usage)
                self.spent = self._before + self._ledger.total()

    def check(self) -> None:
        """Raises where nothing more may be sent."""
        if self._ledger is not None:
            with self._lock:
                self.spent = self._before + self._ledger.total()
        tokens = self.spent.prompt_tokens + self.spent.completion_tokens
        if self.max_tokens is not None and tokens >= self.max_tokens:
            raise BudgetError(f"{tokens:,} tokens are spent, allowed are {self.max_tokens:,} (Budget.max_tokens)")
        if self.max_cost is not None and self.cost >= self.max_cost:
            raise BudgetError(f"{self.cost:.4f} are spent, allowed are {self.max_cost} (Budget.max_cost)")
