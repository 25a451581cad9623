"""How fast judgements are read. The figure is in docs/experiments.md."""

import os
import time

import pytest

from urt_core import Dialect, Judgement, Task, parse_judgement

TYPICAL = {
    Dialect.V1: """<think>
Image 1 shows two red cars left of a dog.
Image 2 shows one red car left of a dog.
1. Semantic consistency: Image 1 (9/10) - both cars and the dog are where the caption puts them; Image 2 (4/10) - one car is missing
2. Aesthetics: Image 2 (8/10) - sharp, with calm colours; Image 1 (8/10) - sharp, with calm colours
3. Authenticity: Image 1 (8/10) - every object is whole; Image 2 (8/10) - every object is whole
Total score:
Image 1: 9+8+8=25
Image 2: 4+8+8=20
</think>
<answer>Image 1 is better</answer>""",
    Dialect.V2: """<think>
1. Semantic consistency:
    Image 1 (9/10) - The cat, the hat and the red door are there. The hat is blue as asked;
    Image 2 (7/10) - The hat is missing, although the door has the right colour.
2. Aesthetics:
    Image 1 (8/10) - Balanced framing with good contrast. The palette is calm;
    Image 2 (8/10) - Warm light and a pleasing composition, if slightly soft.
3. Authenticity:
    Image 1 (9/10) - Fur and shadows look natural. No part is missing or doubled;
    Image 2 (6/10) - The paws are fused and the shadow falls the wrong way.
Total score:
Image 1: 9+8+9=26
Image 2: 7+8+6=21
</think>
<answer>Image 1 is better</answer>""",
}
PER_SECOND = 20_000


@pytest.mark.parametrize("dialect", TYPICAL)
def test_typical_judgements_a_second_on_one_core(dialect: Dialect) -> None:
    """The fastest of many short runs. On a machine with more to do than it has processors, two of them may be halves of
    one core, so half of the figure is asked for."""
    text = TYPICAL[dialect]
    assert isinstance(parse_judgement(text, task=Task.IMAGE_GENERATION, dialect=dialect), Judgement)
    fastest = float("inf")
    for _ in range(200):
        started = time.perf_counter()
        for _ in range(10):
            parse_judgement(text, task=Task.IMAGE_GENERATION, dialect=dialect)
        fastest = min(fastest, time.perf_counter() - started)
    is_busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert 10 / fastest >= (PER_SECOND / 2 if is_busy else PER_SECOND)
