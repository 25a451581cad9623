"""Engines around another engine: one that merges callers into batches, one that bounds prompts, one that remembers."""
