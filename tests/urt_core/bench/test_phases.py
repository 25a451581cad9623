"""What a phase cost: times add up over interruptions, peaks belong to their phase."""

import json
import time

import pytest

from urt_core.bench.phases import PhaseLog, duration, memory, peak_memory_bytes, read_costs, reset_peak_memory


def test_costs_are_kept_in_the_order_of_the_phases(tmp_path):
    log = PhaseLog(tmp_path / "costs.json")
    with log.measure("first", title="First"):
        time.sleep(0.05)
    with log.measure("second", title="Second"):
        pass
    with log.measure("first", title="First again"):
        pass
    costs = read_costs(tmp_path / "costs.json")
    assert [(cost.name, cost.title) for cost in costs] == [("first", "First again"), ("second", "Second")]
    assert costs[0].seconds < 0.05
    assert all(cost.peak_memory_bytes > 1_000_000 for cost in costs)


def test_a_phase_that_goes_on_adds_to_what_it_cost_before(tmp_path):
    path = tmp_path / "costs.json"

    def interrupted() -> None:
        with PhaseLog(path).measure("grpo", title="GRPO"):
            time.sleep(0.06)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text())[0]["is_finished"] is False
    with PhaseLog(path).measure("grpo", title="GRPO"):
        time.sleep(0.03)
    (cost,) = read_costs(path)
    assert cost.is_finished
    assert cost.seconds >= 0.09


def test_the_peak_is_that_of_the_phase():
    """64 MB held and let go before the reset do not count after it."""
    if not reset_peak_memory():
        pytest.skip("this kernel can't reset the peak of a process (/proc/self/clear_refs)")
    block = b"\x01" * 64_000_000  # written, so resident; zeros are not until they are touched
    high = peak_memory_bytes()
    del block
    reset_peak_memory()
    assert peak_memory_bytes() < high - 50_000_000


def test_costs_read_well():
    assert (duration(4.24), duration(212.4), duration(7384.0)) == ("4.2 s", "3 min 32 s", "2 h 3 min")
    assert memory(1_730_000_000) == "1.73 GB"
