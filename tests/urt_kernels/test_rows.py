"""Two strides that lead to every row of a tensor, whatever its own are."""

import pytest
import torch

from urt_kernels.rows import row_layout


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(5, 7),
        torch.empty(4, 10, 100)[:, :-1],
        torch.empty(4, 10, 100)[::2],
        torch.empty(3, 4, 5, 6),
        torch.empty(10, 4, 6).transpose(0, 1),
        torch.empty(1, 8, 6)[:, ::3],
        torch.empty(6),
        torch.empty(2, 3, 12)[..., ::2],
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)} of {tensor.stride()}",
)
def test_every_row_is_where_the_layout_says(tensor: torch.Tensor) -> None:
    layout = row_layout(tensor)
    assert layout is not None
    base = torch.arange(tensor.untyped_storage().nbytes() // 4, dtype=torch.float32)
    values = base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
    for number, row in enumerate(values.reshape(-1, tensor.shape[-1])):
        start = (
            number // layout.rows_per_outer * layout.stride_outer + number % layout.rows_per_outer * layout.stride_inner
        )
        columns = torch.arange(tensor.shape[-1]) * layout.stride_column
        torch.testing.assert_close(row, base[tensor.storage_offset() + start + columns], rtol=0, atol=0)


def test_three_strides_are_none() -> None:
    assert row_layout(torch.empty(4, 6, 8, 10)[::2, ::2, ::2]) is None
