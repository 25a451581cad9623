"""What may be spent: tokens and money over all requests, counted by hand."""

import pytest

from urt_core.engines import Usage
from urt_core.engines.endpoint.budget import Budget
from urt_core.errors import BudgetError, ConfigError


def test_money_is_counted_by_kind_of_token() -> None:
    budget = Budget(max_cost=1.0, prompt_price=0.5, completion_price=2.0)
    budget.add(Usage(prompt_tokens=1_000_000, completion_tokens=200_000))
    assert budget.cost == pytest.approx(0.9)
    budget.check()
    budget.add(Usage(completion_tokens=50_000))
    with pytest.raises(BudgetError, match=r"1\.0000 are spent, allowed are 1\.0"):
        budget.check()
    assert budget.num_requests == 2


def test_tokens_count_together() -> None:
    budget = Budget(max_tokens=100)
    budget.add(Usage(prompt_tokens=60, completion_tokens=39))
    budget.check()
    budget.add(Usage(prompt_tokens=1))
    with pytest.raises(BudgetError, match="100 tokens are spent, allowed are 100"):
        budget.check()


def test_money_without_prices_is_refused() -> None:
    with pytest.raises(ConfigError, match="both prices are 0"):
        Budget(max_cost=1.0)
