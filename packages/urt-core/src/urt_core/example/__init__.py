"""A judge and six pairs that travel with the package, so that something can be judged right after the install.

    urt compare --example                     # what the tiny judge says of the six pairs
    urt compare --example --model <folder>    # what another judge says of them

The judge is the Qwen3-VL of 1.7 million parameters that `make demo` trains at seed 0; it knows sprites and nothing
else. tools/make_example.py makes this folder from such a run.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
JUDGE = FOLDER / "judge"
PAIRS = FOLDER / "pairs.jsonl"
"""A line holds what `urt compare --input` takes, and the `preference` that is right by construction."""
WHAT_THE_JUDGE_IS = (
    "The tiny judge that ships with urt: 1.7 million parameters, trained on sprites (scenes of a few emoji) alone. It shows "
    "how a judgement looks; about any other picture it says nothing that means anything. For real pictures give --model."
)
