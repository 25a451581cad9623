"""One update of TRL's GRPOTrainer (1.16) on the same rollout: its own log-prob passes and its own loss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from urt_train.batching import ExperienceBatch, expand_prompts


def trl_update(
    trainer_class: Any, model: Any, reference: Any, rollout: ExperienceBatch
) -> Callable[[], tuple[Tensor, float]]:
    """Reference pass, policy pass with entropy, loss, backward pass and step, as its `training_step` takes them."""
    trainer = open_trainer(trainer_class, model, reference, num_completions=rollout.completion_ids.shape[1])
    prompts = expand_prompts(rollout.prompts, rollout.completion_ids.shape[1])
    completion_ids, completion_mask = rollout.completion_ids.flatten(0, 1), rollout.completion_mask.flatten(0, 1).long()
    num_images = [len(prompts["image_grid_thw"]) // len(completion_ids)] * len(completion_ids)
    inputs = {
        "prompt_ids": prompts["input_ids"],
        "prompt_mask": prompts["attention_mask"],
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": rollout.advantages.flatten(),
        "num_items_in_batch": completion_mask.sum(),
        "pixel_values": prompts["pixel_values"],
        "image_grid_thw": prompts["image_grid_thw"],
        "num_images": num_images,
        "mm_token_type_ids": torch.nn.functional.pad(prompts["mm_token_type_ids"], (0, completion_ids.shape[1])),
    }
    vision = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")}
    input_ids = torch.cat([inputs["prompt_ids"], completion_ids], dim=1)
    attention_mask = torch.cat([inputs["prompt_mask"], completion_mask], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    seen: list[Tensor] = []
    passes = trainer._get_per_token_logps_and_entropies

    def noting(*args: Any, **kwargs: Any) -> Any:
        result = passes(*args, **kwargs)
        seen.append(result[0].detach())
        return result

    trainer._get_per_token_logps_and_entropies = noting

    def update() -> tuple[Tensor, float]:
        with torch.no_grad():
            logprobs, _, _ = passes(reference, input_ids, attention_mask, completion_ids.shape[1], **vision)
        loss = trainer._compute_loss(model, {**inputs, "ref_per_token_logps": logprobs})
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return seen.pop().reshape(rollout.completion_ids.shape), float(loss.detach())

    return update


def open_trainer(trainer_class: Any, model: Any, reference: Any, *, num_completions: int) -> Any:
    """A GRPOTrainer that is never asked to sample, with the KL term of ours; the reference gets the head that it gives its own."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.utils import add_fused_lm_head

    words = {f"<{number}>": number for number in range(1024)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<0>")), eos_token="<5>", pad_token="<0>"
    )
    arguments = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=next(model.parameters()).device.type == "cpu",
        per_device_train_batch_size=num_completions,
        num_generations=num_completions,
        beta=0.0,  # else it opens a reference model by the name of the policy's, which a random one has not
        loss_type="grpo",
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
    )
    trainer = trainer_class(
        model=model,
        reward_funcs=lambda completions, **kwargs: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["<9>"] * num_completions}),
        processing_class=tokenizer,
    )
    trainer.beta, trainer.current_gradient_accumulation_steps = 0.04, 1
    add_fused_lm_head(reference, temperature=trainer.temperature)
    return trainer
