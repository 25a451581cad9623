"""What a machine can compute of `model.attention`, and what is said where it can't."""

from contextlib import nullcontext

import pytest

from urt_core.errors import ConfigError
from urt_train.model.attention import check_attention


@pytest.mark.parametrize(
    ("has_cuda", "is_installed", "precision", "message"),
    [
        (
            False,
            True,
            "bf16-mixed",
            r"flash_attention_2, which needs a CUDA device; allowed here: model\.attention=sdpa",
        ),
        (True, False, "bf16-mixed", r"needs a package flash-attn \(2\.7 or newer\), which is not installed"),
        (True, True, "32-true", r"computes in bfloat16, and trainer\.precision is 32-true"),
        (True, True, "bf16-mixed", None),
    ],
)
def test_flash_attention_where_it_can_not_serve_is_refused_by_name(
    monkeypatch, has_cuda, is_installed, precision, message
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    monkeypatch.setattr("urt_train.model.attention.find_spec", lambda name: object() if is_installed else None)
    with nullcontext() if message is None else pytest.raises(ConfigError, match=message):
        check_attention("flash_attention_2", precision=precision)


def test_flex_needs_a_device_for_its_backward_pass(monkeypatch):
    check_attention("sdpa", precision="32-true")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.attention is flex and there is no CUDA device"):
        check_attention("flex", precision="bf16-mixed")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_attention("flex", precision="bf16-mixed")
