"""An engine that answers from a script: for tests, documentation and the fault cases of everything built on engines."""

from collections.abc import Callable, Mapping, Sequence

from urt_core.engines import Completion, SamplingParams
from urt_core.errors import EngineError
from urt_core.prompts import Prompt

Script = Callable[[Prompt, int], str | Completion] | Mapping[str, str | Completion] | Sequence[str | Completion]


class ScriptedEngine:
    """Answers each prompt from `script`: a function of the prompt and the completion's index, a mapping from the
    prompt's key, or a list that is used up in order.

    ScriptedEngine(script=["Image 1 is better."])
    """

    batch_size = 1  # answers are handed out as soon as they are asked for

    def __init__(self, *, script: Script, model: str = "scripted") -> None:
        self.model = model
        self.prompts: list[Prompt] = []
        """Every prompt that was asked, in order."""
        self._script = script
        self._position = 0

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        self.prompts.extend(prompts)
        return [[self._answer(prompt, index) for index in range(sampling.num_completions)] for prompt in prompts]

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return self.generate(prompts, sampling)

    def _answer(self, prompt: Prompt, index: int) -> Completion:
        script = self._script
        if callable(script):
            answer = script(prompt, index)
        elif isinstance(script, Mapping):
            if prompt.key not in script:
                raise EngineError(
                    f"the script has no answer for prompt key {prompt.key!r}; it has {sorted(script)[:10]}"
                )
            answer = script[prompt.key]
        else:
            if self._position >= len(script):
                raise EngineError(f"the script holds {len(script)} answers and all are used; give one per completion")
            answer = script[self._position]
            self._position += 1
        return Completion(text=answer) if isinstance(answer, str) else answer
