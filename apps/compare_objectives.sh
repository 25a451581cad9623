#!/bin/bash
# GRPO with each objective, three seeds, from the tiny recipe's rejection-sampled judge; then the test split in both orders.
# Needs outputs/tiny/rejection_sampling/model and outputs/tiny/data/hard (python apps/pipeline.py writes them).
# One run costs what the demo's GRPO stage costs: leave the machine alone meanwhile. Results: outputs/compare/<objective>-<seed>/tiny/evaluation.
set -eu
cd "$(dirname "$0")/.."
for objective in grpo dr_grpo dapo gspo cispo; do
    for seed in 0 1 2; do
        common=(recipe=tiny seed=$seed output_root="outputs/compare/$objective-$seed" data.hard=outputs/tiny/data/hard data.test=outputs/tiny/data/test)
        python apps/train.py stage=grpo objective=$objective grpo.initial=outputs/tiny/rejection_sampling/model "${common[@]}"
        python apps/evaluate.py checkpoint="outputs/compare/$objective-$seed/tiny/grpo/model" evaluation.orders=both "${common[@]}"
    done
done
