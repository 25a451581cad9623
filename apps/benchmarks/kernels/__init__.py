"""What `apps/bench_kernels.py` composes: cases, implementations and peers, ceilings of the machine, timing, gates,
tables."""
