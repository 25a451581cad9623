"""What several processes spend is one sum, which outlives them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from urt_core.engines import Usage
from urt_core.engines.endpoint.budget import Budget
from urt_core.errors import BudgetError, DataError
from urt_core.judging.spending import Spending


def test_each_has_the_sum_of_all_and_whoever_comes_later_has_it_too(tmp_path) -> None:
    processes = [Spending(tmp_path / f"rank-{rank:04d}.spent") for rank in range(3)]
    for number in range(50):
        processes[number % 3].note(Usage(prompt_tokens=number, completion_tokens=1))
        whole = Usage(prompt_tokens=sum(range(number + 1)), completion_tokens=number + 1)
        assert processes[number % 2].total() == whole
    again = Spending(tmp_path / "rank-0001.spent")
    again.note(Usage(completion_tokens=7))
    assert {each.total() for each in (processes[0], processes[2], again)} == {
        Usage(prompt_tokens=sum(range(50)), completion_tokens=57)
    }


def test_a_note_counts_when_it_is_whole(tmp_path) -> None:
    (tmp_path / "rank-0000.spent").write_bytes(b"100 20\n3")
    spending = Spending(tmp_path / "rank-0001.spent")
    assert spending.total() == Usage(prompt_tokens=100, completion_tokens=20)
    with (tmp_path / "rank-0000.spent").open("ab") as file:
        file.write(b"0 4\n")
    assert spending.total() == Usage(prompt_tokens=130, completion_tokens=24)


def test_a_line_that_is_no_note_is_named(tmp_path) -> None:
    (tmp_path / "rank-0000.spent").write_bytes(b"100 20\n1 2 3\n")
    with pytest.raises(
        DataError, match=r"rank-0000\.spent, line 2: b'1 2 3' is no note of what was spent.*mend or remove"
    ):
        Spending(tmp_path / "rank-0001.spent").total()


def test_threads_of_one_process_lose_nothing(tmp_path) -> None:
    spending = Spending(tmp_path / "rank-0000.spent")

    def pay(_: int) -> None:
        spending.note(Usage(prompt_tokens=3, completion_tokens=2))
        spending.total()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pay, range(500)))
    assert spending.total() == Usage(prompt_tokens=1500, completion_tokens=1000)


def test_a_shared_budget_is_spent_by_all_of_them(tmp_path) -> None:
    budgets = [Budget(max_tokens=100) for _ in range(2)]
    budgets[0].add(Usage(prompt_tokens=10))  # before there was a run to share
    for rank, budget in enumerate(budgets):
        ledger = Spending(tmp_path / f"rank-{rank:04d}.spent")
        for _ in range(2):  # several rounds of one run
            budget.share(ledger)
    budgets[0].add(Usage(prompt_tokens=40))
    budgets[1].add(Usage(prompt_tokens=49))
    assert [budget.spent.prompt_tokens for budget in budgets] == [50, 89]
    budgets[1].check()
    assert budgets[1].spent.prompt_tokens == 89
    budgets[1].add(Usage(prompt_tokens=1))
    for budget in budgets[:1]:
        with pytest.raises(BudgetError, match="100 tokens are spent"):
            budget.check()
    budgets[1].check()
    budgets[1].add(Usage(completion_tokens=10))
    with pytest.raises(BudgetError, match="100 tokens are spent"):
        budgets[1].check()
