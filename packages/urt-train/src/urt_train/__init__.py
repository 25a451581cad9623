"""Training of chain-of-thought judges: cold start, rejection sampling, GRPO.

Nothing is imported here: `urt_train.config` must be reachable without torch. Import from the modules by name.
"""
