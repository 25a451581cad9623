"""The three stages, each a LightningModule.

cold_start.py           imitate a teacher's judgements
rejection_sampling.py   judge the pool (predict), then imitate the right judgements (fit)
grpo.py                 reinforce what earns more reward than its group
module.py               what all have in common: optimizer, schedule, clipping, the sums behind the metrics
"""
