"""The policy: a vision-language model with its tokenizer and image processor, the log-probs it gives to completions,
and an engine over its live weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from urt_core import JudgeSpec, Prompt
from urt_core.engines.image_slots import ImageSlots, image_slots
from urt_core.engines.model.decoding import prompt_positions
from urt_core.engines.model.encoding import encode_prompts
from urt_core.engines.model.processing import load_processing
from urt_core.engines.transformers import TransformersEngine
from urt_core.errors import CheckpointError
from urt_core.media import MediaPolicy
from urt_kernels import LinearLoss, TokenLogprobs, linear_loss, linear_token_logprobs
from urt_train.config import Batching
from urt_train.model.batching import PROMPT_ROWS, TokenBatch, expand_prompts
from urt_train.model.loading import Opener, empty_model, fill, is_empty, open_model
from urt_train.model.lora import has_adapters, is_adapted_alone, without_adapters
from urt_train.model.packed.packing import pack_row
from urt_train.model.packed.shared_prefix import layout_for, refuse_unsupported, share_prefixes
from urt_train.model.weights import whole_weights
from urt_train.runtime.ranks import is_first_here, world

Result = TypeVar("Result")


class Policy(nn.Module):
    """A judge that can be trained.

    policy = Policy.from_pretrained("outputs/tiny/cold_start/model", spec=JudgeSpec.load("outputs/tiny/cold_start/model"))
    policy.token_logprobs(batch, temperature=1.0).logprobs      # [P, G, C]
    policy.engine().generate(prompts, sampling)                 # the same weights, as they are now
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        image_processor: Any,
        *,
        spec: JudgeSpec,
        batching: Batching = Batching.padded,
        attention: str = "sdpa",
    ) -> None:
        super().__init__()
        if batching is Batching.shared_prefix:
            refuse_unsupported(cast(Any, model).config.get_text_config(), attention=attention)
        self.model: Any = model
        self.tokenizer, self.image_processor = tokenizer, image_processor
        self.spec = spec
        self.batching, self.attention = batching, attention
        self.folder: str | Path = ""
        self.open_whole: Opener | None = None
        """The model with its weights, as it lies in the folder."""

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        spec: JudgeSpec,
        dtype: str = "float32",
        attention: str = "sdpa",
        revision: str | None = None,
        batching: Batching = Batching.padded,
        is_deferred: bool = False,
    ) -> Policy:
        """The first process of each machine checks the folder. `is_deferred`: the weights are read by `load`, when it is known how the model is sharded; until then it holds
        none."""
        settings: dict[str, Any] = {
            "dtype": dtype,
            "attention": "sdpa" if attention == "flex" else attention,
            "revision": revision,
        }
        try:
            tokenizer, image_processor = load_processing(folder, revision=revision, is_checked=not is_first_here())
            model = (empty_model if is_deferred else open_model)(folder, **settings)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(
                f"{folder} can't be opened as a model folder ({reason}); give another model.base"
            ) from error
        policy = cls(model, tokenizer, image_processor, spec=spec, batching=batching, attention=attention)
        policy.open_whole = partial(open_model, folder, **settings)
        policy.folder = folder
        return policy

    def load(self, device: torch.device) -> None:
        """Read the weights of a policy that was opened without; every rank takes part. Nothing to do for another."""
        if is_empty(self):
            assert self.open_whole is not None, "only an opened policy is empty"
            fill(self, self.model, folder=self.folder, device=device, open_whole=self.open_whole)

    @property
    def media_policy(self) -> MediaPolicy:
        return self.spec.policy

    @property
    def slots(self) -> ImageSlots:
        """How prompts of this model's family hold images."""
        return image_slots(self.model.config)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """The engine's own encoding, left-padded."""
        return encode_prompts(self.tokenizer, self.image_processor, prompts, policy=self.media_policy, slots=self.slots)

    def engine(self, *, batch_size: int = 64) -> TransformersEngine:
        """An engine over the live weights; `batch_size` counts completions decoded together."""
        return TransformersEngine(
            self.model,
            self.tokenizer,
            self.image_processor,
            policy=self.media_policy,
            batch_size=batch_size,
            model="policy",
        )

    def reference(self) -> Policy:
        """The policy as it is now, for `reference_logprobs`: itself where adapters are all that learns, else a frozen
        copy."""
        if is_adapted_alone(self.model):
            return self
        twin = Policy(
            copy.deepcopy(self.model),
            self.tokenizer,
            self.image_processor,
            spec=self.spec,
            batching=self.batching,
            attention=self.attention,
        )
        twin.folder, twin.open_whole = self.folder, self.open_whole
        return twin.requires_grad_(False).eval()

    def select_trainable(self, *, language: bool, vision: bool, projector: bool) -> None:
        """Freeze by module, not by a prefix of names, which changes between versions of transformers."""
        base = self.model.model
        tower = getattr(base, "visual", None) or base.vision_tower
        mergers = [part for name, part in tower.named_children() if "merger" in name]
        projectors = mergers or [base.multi_modal_projector, base.image_newline]
        self.model.requires_grad_(language)
        tower.requires_grad_(vision)
        for part in projectors:
            part.requires_grad_(projector)
        if (norm := getattr(tower, "post_layernorm", None)) is not None:
            norm.requires_grad_(False)  # LLaVA's features are those before it; DDP would wait for its gradient

    def whole_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The model's weights under their Hugging Face names, adapters folded in, one at a time. Every rank takes
        part."""
        return whole_weights(self.model)

    def whole_state(self, *, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """All of these on the first rank, in main memory and of one type if given; nothing on the others. Every rank
        takes part."""
        is_first = world()[0] == 0
        return {
            name: tensor.to("cpu", dtype if tensor.is_floating_point() else None)
            for name, tensor in self.whole_weights()
            if is_first
        }

    def with_whole_weights(self, run: Callable[[], Result]) -> Result:
        """Run something that calls parts of the model as it likes, such as an engine; `strategies.shard` makes it work
        sharded."""
        return run()

    def token_logprobs(self, batch: TokenBatch, *, temperature: float = 1.0, entropy: bool = False) -> TokenLogprobs:
        """Log-probs [P, G, C] of the completion tokens under softmax(logits / temperature); 0 outside the completion
        mask."""
        hidden, mask = self.completion_hidden(batch), batch.completion_mask
        result = linear_token_logprobs(
            hidden,
            self.model.get_output_embeddings().weight,
            batch.completion_ids[mask],
            temperature=temperature,
            entropy=entropy,
            operands=_computing(hidden),
            validate_targets=False,
        )
        return TokenLogprobs(
            logprobs=_placed(result.logprobs, mask),
            entropy=None if result.entropy is None else _placed(result.entropy, mask),
            top1=_placed(result.top1, mask),
            lse=_placed(result.lse, mask),
        )

    def token_loss(
        self,
        batch: TokenBatch,
        *,
        temperature: float = 1.0,
        rollout_logprobs: Tensor | None = None,
        reference_logprobs: Tensor | None = None,
        old_logprobs: Tensor | None = None,
        **objective: Any,
    ) -> LinearLoss:
        """An objective of the completion tokens, its gradient formed in the pass that gives their log-probs.

        Log-probs are [P, G, C], what comes back of each token too, 0 outside the completion mask; a completion is a
        sequence. `objective` is what `urt_kernels.linear_loss` takes: surrogate, advantages [P * G], clips, divisors.
        """
        hidden, mask = self.completion_hidden(batch), batch.completion_mask
        ends = mask.flatten(0, 1).sum(-1).cumsum(0)
        constants = {
            "rollout_logprobs": rollout_logprobs,
            "reference_logprobs": reference_logprobs,
            "old_logprobs": old_logprobs,
        }
        result = linear_loss(
            hidden,
            self.model.get_output_embeddings().weight,
            batch.completion_ids[mask],
            cu_seqlens=torch.nn.functional.pad(ends, (1, 0)),
            temperature=temperature,
            operands=_computing(hidden),
            validate_targets=False,
            **{name: None if values is None else values[mask] for name, values in constants.items()},
            **objective,
        )
        return result._replace(
            policy_logprobs=_placed(result.policy_logprobs, mask),
            entropy=None if result.entropy is None else _placed(result.entropy, mask),
            top1=_placed(result.top1, mask),
        )

    def reference_logprobs(self, batch: TokenBatch, *, temperature: float = 1.0) -> Tensor:
        """Log-probs [P, G, C] as `token_logprobs` gives them, without adapters where there are some."""
        with without_adapters(self.model) if has_adapters(self.model) else nullcontext():
            return self.token_logprobs(batch, temperature=temperature).logprobs

    def completion_hidden(self, batch: TokenBatch) -> Tensor:
        """The hidden state [S, H] that each token of the completion mask is predicted from: that of the token before
        it."""
        if self.batching is Batching.shared_prefix:
            return self._hidden_of_packed_row(batch)
        return self._hidden_of_padded_rows(batch)[batch.completion_mask]

    def _hidden_of_padded_rows(self, batch: TokenBatch) -> Tensor:
        """The reference layout: one row [prompt | completion] for each completion."""
        num_prompts, group_size, length = batch.completion_ids.shape
        prompts = expand_prompts(batch.prompts, group_size)
        # The last token predicts nothing that is asked for.
        completion_ids = batch.completion_ids.flatten(0, 1)[:, :-1]
        completion_mask = batch.completion_mask.flatten(0, 1)[:, :-1]
        position_ids, next_position = prompt_positions(self.model, prompts)
        own_positions = next_position[:, None] + torch.arange(length - 1, device=next_position.device)
        hidden = self.model.model(
            **_images(prompts),
            input_ids=torch.cat([prompts["input_ids"], completion_ids], dim=1),
            attention_mask=torch.cat([prompts["attention_mask"], completion_mask.long()], dim=1),
            mm_token_type_ids=torch.nn.functional.pad(prompts["mm_token_type_ids"], (0, length - 1)),
            position_ids=_append_positions(position_ids, own_positions),
            use_cache=False,
        ).last_hidden_state
        return hidden[:, -length:].unflatten(0, (num_prompts, group_size))

    def _hidden_of_packed_row(self, batch: TokenBatch) -> Tensor:
        """One row for all prompts and completions, each prompt once and nothing padded."""
        position_ids, next_position = prompt_positions(self.model, dict(batch.prompts))
        row = pack_row(batch, position_ids=position_ids, next_position=next_position)
        share_prefixes(self.model)
        hidden = self.model.model(
            **_images(batch.prompts),
            input_ids=row.input_ids,
            # Without it, positions that begin again would be told apart in a mask of all pairs of tokens, which nobody
            # looks at.
            attention_mask=torch.ones_like(row.input_ids),
            mm_token_type_ids=row.mm_token_type_ids,
            position_ids=row.position_ids,
            use_cache=False,
            layout=layout_for(self.attention, row.groups, device=row.input_ids.device),
        ).last_hidden_state
        return hidden[0].index_select(0, row.sources)


def _computing(hidden: Tensor) -> torch.dtype | None:
    """The type that autocast computes in, which the head's kernel does not look at; None without autocast."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def _placed(values: Tensor, mask: Tensor) -> Tensor:
    """One value for each True of the mask, 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def _images(prompts: Any) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in prompts.items() if name not in PROMPT_ROWS}


def _append_positions(prompt: Tensor, own: Tensor) -> Tensor:
    """Positions of a whole row: those of the prompt ([B, T], or [3, B, T] with M-RoPE), then the completions' [B,
    C]."""
    return torch.cat([prompt, own if prompt.dim() == 2 else own.expand(prompt.shape[0], -1, -1)], dim=-1)
