"""A policy written as a judge: an ordinary Hugging Face folder that says how it is to be asked."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from urt_core.engines.model.folder import write_sums
from urt_core.engines.model.processing import save_processing
from urt_train.model.policy import Policy
from urt_train.runtime.checkpoints.checkpoint import whole_folder
from urt_train.runtime.ranks import wait_for_all, world


def export_judge(policy: Policy, folder: Path, *, dtype: str | None = None) -> Path:
    """A Hugging Face folder (weights, tokenizer, chat template, image processor, generation config) with judge.json and the
    hashes of all of them.

    `dtype` is the type that the judge will be served in ("bfloat16"); None leaves the weights as they are. Every rank
    takes part, since weights may be sharded; the first one writes.
    """
    is_first = world()[0] == 0
    # A tied weight is stored once; cast or gathered, it no longer shares its memory with the other, by which it could
    # be told.
    tied = policy.model.all_tied_weights_keys
    weights = {
        name: _of_dtype(tensor, dtype).cpu() for name, tensor in policy.whole_weights() if is_first and name not in tied
    }
    if is_first:
        with whole_folder(folder) as partial:
            policy.model.save_pretrained(partial, state_dict=weights)
            if dtype is not None:
                _name_dtype(partial / "config.json", dtype)
            save_processing(
                partial, slots=policy.slots, tokenizer=policy.tokenizer, image_processor=policy.image_processor
            )
            policy.spec.save(partial)
            write_sums(partial)
    wait_for_all()
    return folder


def _of_dtype(tensor: Tensor, dtype: str | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(getattr(torch, dtype))


def _name_dtype(config: Path, dtype: str) -> None:
    """transformers writes the type of the live weights; whoever opens the folder takes the type from here."""
    values = json.loads(config.read_text(encoding="utf-8"))
    for part in (values, *values.values()):
        if isinstance(part, dict) and "dtype" in part:
            part["dtype"] = dtype
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
