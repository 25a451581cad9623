"""Questions, and the script that answers them, for engines around another."""

from urt_core import SamplingParams
from urt_core.engines import Completion, Usage
from urt_core.prompts import Prompt

SAMPLING = SamplingParams(temperature=0.7, num_completions=2)


def prompts(count):
    return [Prompt(parts=(f"question {index}",), key=f"k{index}") for index in range(count)]


def answer(prompt, index):
    return Completion(
        text=f"{prompt.text} answer {index}",
        token_ids=(1, 2),
        logprobs=(-0.5, -0.25),
        token_texts=("a", "b"),
        usage=Usage(prompt_tokens=3, completion_tokens=2),
    )
