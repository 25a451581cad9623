"""Pairs in, micro-batches of experience out: which pairs, who samples their completions, with which weights."""
