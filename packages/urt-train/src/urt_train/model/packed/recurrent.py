"""Recurrent layers over a packed row: each prompt runs once, and its completions go on from the state that it leaves
behind.

Where attention looks up the keys of a prompt, a recurrent layer (Qwen3.5's gated delta net, arXiv 2412.06464) carries
what it has seen along the row: the last inputs of its convolution and, for each head, a matrix. So it takes a group in
two calls, as attention does: the prompt from the empty state, then the completions side by side, each from a copy of
the prompt's state, through which gradients flow back into the prompt.

Both are calls of the layer's own forward pass with a cache, as transformers makes them for decoding. How it computes
(its torch functions, or the fused kernels of `fla` and `causal-conv1d` where they are installed), and what adapters
have been put into it, stays its own affair.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.cache_utils import Cache, LinearAttentionLayer
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5GatedDeltaNet
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeGatedDeltaNet

from urt_train.model.packed.packing import RowLayout

RECURRENT_LAYERS = {"qwen3_5_text": Qwen3_5GatedDeltaNet, "qwen3_5_moe_text": Qwen3_5MoeGatedDeltaNet}
"""By the `model_type` of the text model; all of them answer to transformers' cache in the same way."""
SHORTEST = 2
"""Tokens: a single one behind a state is taken for a step of decoding, whose kernels have no backward pass."""


class PromptState(LinearAttentionLayer):
    """What a prompt leaves behind in one layer: the last inputs of its convolution, and the recurrent state.

    transformers writes a new state over the old one; here it takes its place, because the old one is needed in the
    backward pass.
    """

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any) -> Tensor:
        self.recurrent_states[state_idx] = recurrent_states
        self.is_recurrent_states_initialized[state_idx] = True
        return recurrent_states

    def repeat(self, times: int) -> None:
        """A copy for each completion."""
        for states in (self.conv_states, self.recurrent_states):
            for index, state in states.items():
                if state is not None:
                    states[index] = state.expand(times, *state.shape[1:]).contiguous()


def over_packed_row(layer: Any, hidden_states: Tensor, layout: RowLayout, **kwargs: Any) -> Tensor:
    """[1, N, H] of a packed row -> the same: what the layer computes for each row [prompt | completion] alone."""
    seen = []
    for group, (prompt,), (own,) in layout.parts(hidden_states[0]):
        state = PromptState()
        # The layer asks a whole model's cache for its own place in it.
        kwargs["cache_params"] = Cache(layers=[state] * (layer.layer_idx + 1))
        seen.append(_ordinary(layer, prompt[None], **kwargs)[0])
        if group.num_own:
            state.repeat(len(group.cells))
            cells = group.side_by_side(own)
            padded = pad(cells, (0, 0, 0, max(0, SHORTEST - cells.shape[1])))
            seen.append(group.end_to_end(_ordinary(layer, padded, **kwargs)[:, : cells.shape[1]]))
    return torch.cat(seen)[None]


def continue_from_prompts(decoder: nn.Module) -> None:
    """Let the recurrent layers of `decoder` take a packed row by the layout they are given, and as before where they
    get none."""
    for layer in decoder.modules():
        if isinstance(layer, tuple(RECURRENT_LAYERS.values())):
            # A method, so that a copy of the model has its own.
            layer.forward = MethodType(_forward, layer)


def _forward(layer: Any, hidden_states: Tensor, layout: RowLayout | None = None, **kwargs: Any) -> Tensor:
    if layout is None:
        return _ordinary(layer, hidden_states, **kwargs)
    return over_packed_row(layer, hidden_states, layout, **kwargs)


def _ordinary(layer: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    return type(layer).forward(layer, hidden_states, **kwargs)
