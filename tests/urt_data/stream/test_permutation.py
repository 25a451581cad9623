"""A permutation is a pure function of its words: golden values hold it still for good."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from urt_data.stream.permutation import permutation


@given(st.integers(0, 300), st.integers(0, 9))
def test_it_is_a_permutation(length: int, seed: int) -> None:
    assert sorted(permutation(length, seed).tolist()) == list(range(length))


def test_golden_values() -> None:
    """Written down once: another order would send every resumed run elsewhere."""
    assert permutation(5, 0, "example").tolist() == [3, 2, 1, 4, 0]


def test_words_decide_and_nothing_else() -> None:
    one, again, other = permutation(100, 1, "a"), permutation(100, 1, "a"), permutation(100, 1, "b")
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
