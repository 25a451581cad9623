"""One step of GRPO on made-up pairs, by phases, in each layout and beside a peer: same weights, images, lengths and
completions.

`model` and `rollout` make what is computed on, `ours` and `trl` are the contenders, `timing` takes their phases in
turns. Handing weights to an engine is left out: it needs one, and `time/hand_over` in the metrics of a run with
`engine=vllm` is its time.
"""
