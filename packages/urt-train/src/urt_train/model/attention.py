"""Whether a machine can compute the attention that a config asks for, before weights are read."""

from importlib.util import find_spec

import torch

from urt_core.errors import ConfigError

NO_BACKWARD_ON_CPU = (
    "model.attention is flex and there is no CUDA device: FlexAttention has no backward pass on a CPU;"
    " allowed here: model.attention=sdpa"
)


def check_attention(attention: str, *, precision: str) -> None:
    """`accelerator: auto` may turn out to be a CPU, and a package may be missing."""
    if attention == "flex" and not torch.cuda.is_available():
        raise ConfigError(NO_BACKWARD_ON_CPU)
    if attention != "flash_attention_2":
        return
    if find_spec("flash_attn") is None or not torch.cuda.is_available():
        missing = (
            "package flash-attn (2.7 or newer), which is not installed" if torch.cuda.is_available() else "CUDA device"
        )
        raise ConfigError(
            f"model.attention is flash_attention_2, which needs a {missing}; allowed here: model.attention=sdpa"
        )
    if precision == "32-true":
        raise ConfigError(
            "model.attention is flash_attention_2, which computes in bfloat16, and trainer.precision is 32-true; allowed:"
            " trainer.precision=bf16-mixed, or model.attention=sdpa"
        )
