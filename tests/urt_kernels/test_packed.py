"""Packed rows and back: every token stands where its sequence says."""

import pytest
import torch

from urt_kernels.packed import check_offsets, packed_rows

OFFSETS = torch.tensor([0, 3, 3, 4, 9])  # the second sequence is empty


def test_padded_is_the_sequences_one_under_the_other() -> None:
    values = torch.arange(9, dtype=torch.float32).requires_grad_()
    rows = packed_rows(OFFSETS, like=values)
    padded = rows.padded(values)
    found = [line[present].tolist() for line, present in zip(padded, rows.present, strict=True)]
    assert found == [[0, 1, 2], [], [3], [4, 5, 6, 7, 8]]
    torch.where(rows.present, padded, 0.0).sum().backward()
    torch.testing.assert_close(values.grad, torch.ones(9))


def test_one_value_per_sequence_stays() -> None:
    rows = packed_rows(OFFSETS, like=torch.empty(9))
    advantages = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rows.by_sequence(advantages) is advantages
    assert rows.by_sequence(torch.arange(9.0)).shape == (4, 5)


@pytest.mark.parametrize("offsets", [[1, 9], [0, 8], [0, 5, 4, 9], []])
def test_offsets_that_lead_nowhere_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="cu_seqlens"):
        check_offsets("cu_seqlens", torch.tensor(offsets, dtype=torch.int64), 9, torch.device("cpu"), meaning="rows")
