"""Permutations that anyone can recompute: a pure function of their words, equal on every machine and numpy version."""

import hashlib

import numpy as np


def permutation(length: int, *words: str | int) -> np.ndarray:
    """A permutation of range(length) that depends on `words` alone.

    Philox is counter-based and its raw output is fixed by its definition (Salmon et al., "Parallel Random Numbers: As
    Easy as 1, 2, 3", 2011), while numpy may change how `Generator.permutation` uses it; so the raw words are sorted
    here.

    >>> permutation(5, 0, "example").tolist()
    [3, 2, 1, 4, 0]
    """
    if length <= 1:
        return np.zeros(length, dtype=np.int64)
    key = hashlib.sha256("/".join(str(word) for word in words).encode()).digest()[:16]
    draws = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(length)
    return np.argsort(draws, kind="stable")
