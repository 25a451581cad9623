"""A step of TRL's GRPOTrainer (1.16): its own log-prob passes and its own loss; sampling as its transformers path calls
it."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.rollout import Pictures
from benchmarks.training.timing import Outcome
from urt_core.engines.transformers import evaluation_mode
from urt_train.model.batching import ExperienceBatch, expand_prompts


class TRLStep:
    """TRLStep(GRPOTrainer, model, reference, rollout, pictures)"""

    def __init__(
        self, trainer_class: Any, model: Any, reference: Any, rollout: ExperienceBatch, pictures: Pictures
    ) -> None:
        group_size = rollout.completion_ids.shape[1]
        self.model, self.reference, self.rollout = model, reference, rollout
        self.data = pictures.to_tensors
        self.trainer = open_trainer(trainer_class, model, reference, num_completions=group_size)
        self.prompts = expand_prompts(rollout.prompts, group_size)
        self.completion_ids = rollout.completion_ids.flatten(0, 1)
        completion_mask = rollout.completion_mask.flatten(0, 1).long()
        length = self.completion_ids.shape[1]
        images_per_prompt = len(self.prompts["image_grid_thw"]) // len(self.completion_ids)
        self.vision = {
            "pixel_values": self.prompts["pixel_values"],
            "image_grid_thw": self.prompts["image_grid_thw"],
            "num_images": [images_per_prompt] * len(self.completion_ids),
            "mm_token_type_ids": torch.nn.functional.pad(self.prompts["mm_token_type_ids"], (0, length)),
        }
        self.inputs = {
            "prompt_ids": self.prompts["input_ids"],
            "prompt_mask": self.prompts["attention_mask"],
            "completion_ids": self.completion_ids,
            "completion_mask": completion_mask,
            "advantages": rollout.advantages.flatten(),
            "num_items_in_batch": completion_mask.sum(),
            **self.vision,
        }
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
        self.passes = self.trainer._get_per_token_logps_and_entropies
        self.trainer._get_per_token_logps_and_entropies = self._noting
        self.seen: list[Tensor] = []

    def generate(self) -> None:
        """Each prompt once for each of its completions; `disable_compile` is TRL's own setting."""
        length = self.completion_ids.shape[1]
        with torch.no_grad(), evaluation_mode(self.model):
            self.model.generate(
                **self.prompts,
                do_sample=True,
                top_k=0,
                min_new_tokens=length,
                max_new_tokens=length,
                disable_compile=True,
                pad_token_id=0,
            )

    @torch.no_grad()
    def logprobs(self) -> None:
        input_ids = torch.cat([self.inputs["prompt_ids"], self.completion_ids], dim=1)
        attention_mask = torch.cat([self.inputs["prompt_mask"], self.inputs["completion_mask"]], dim=1)
        logprobs, _, _ = self.passes(
            self.reference, input_ids, attention_mask, self.completion_ids.shape[1], **self.vision
        )
        self.inputs["ref_per_token_logps"] = logprobs

    def update(self) -> Outcome:
        loss = self.trainer._compute_loss(self.model, self.inputs)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return Outcome(self.seen.pop().reshape(self.rollout.completion_ids.shape), float(loss.detach()))

    def _noting(self, *args: Any, **kwargs: Any) -> Any:
        """The log-probs that its loss is made of, for the comparison."""
        result = self.passes(*args, **kwargs)
        self.seen.append(result[0].detach())
        return result


def open_trainer(trainer_class: Any, model: Any, reference: Any, *, num_completions: int) -> Any:
    """A GRPOTrainer that is never asked to sample, with the KL term of ours; the reference gets the head that it gives
    its own."""
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
