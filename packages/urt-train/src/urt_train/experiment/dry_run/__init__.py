"""A recipe computed without weights, data or GPU: shapes, batches, and memory per device.

shape.py         the base's config.json: a local folder's own, or the published facts in shapes/
model.py         the policy of the recipe on the meta device: what learns, adapters, checkpointing
lengths.py       how long prompts are at the judge's pixel limit
workload.py      what a device is given: micro-batches, and prompts to sample
live_bytes.py    how many bytes of tensors are alive at once
passes.py        what one pass of a model holds
measure.py       passes of the recipe's own model on fake tensors, extended to all layers and rows
recurrence.py    the delta rule of Qwen3.5 as its fused kernels keep it
states.py        weights, gradients, optimizer state, and what each strategy adds
moments.py       the moments at which a device holds the most
estimate.py      all of it for every stage: `dry_run(config)`
advice.py        settings that would help
tables.py        as tables, notes and one line
"""

from urt_train.experiment.dry_run.estimate import Estimate, StageEstimate, dry_run

__all__ = ["Estimate", "StageEstimate", "dry_run"]
