"""What a teacher answered, on disk as soon as it is known: an answer that was paid for is never asked for again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from urt_core import Completion, Media, Prompt, SamplingParams, Usage
from urt_core.engines import FinishReason
from urt_core.errors import DataError
from urt_core.media import media_digest

ANSWERS = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.REFUSED)
"""How an answer can end. Everything else is a request that failed, which another run may try again."""


class AnswerJournal:
    """Answers by question, one JSON line each; without a path it remembers nothing.

    A question is the teacher's name, the sampling, the key and everything the prompt shows, pictures included: a
    changed wording or a changed image is a new question.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.num_reused = 0
        self._answers: dict[str, Completion] = {}
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, model: str, prompt: Prompt, sampling: SamplingParams) -> Completion | None:
        answer = self._answers.get(question_id(model, prompt, sampling))
        self.num_reused += answer is not None
        return answer

    def note(self, model: str, prompt: Prompt, sampling: SamplingParams, completion: Completion) -> None:
        if self.path is None or completion.finish_reason not in ANSWERS:
            return
        question = question_id(model, prompt, sampling)
        line = {
            "question": question,
            "key": prompt.key,
            "text": completion.text,
            "finish_reason": str(completion.finish_reason),
            "usage": asdict(completion.usage),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise DataError(
                f"{self.path} can't be written ({error.strerror or error}); stopped before another question is paid"
            ) from error
        self._answers[question] = completion

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            # A run that was killed while it wrote leaves half a line; the next answer must not be glued to it.
            os.truncate(path, complete)
        for number, line in enumerate(content[:complete].splitlines(), start=1):
            try:
                fields = json.loads(line)
                self._answers[fields["question"]] = Completion(
                    text=fields["text"], finish_reason=fields["finish_reason"], usage=Usage(**fields["usage"])
                )
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}, line {number}, is no answer of a teacher ({error}); remove that line to ask its question again"
                ) from error


def question_id(model: str, prompt: Prompt, sampling: SamplingParams) -> str:
    """
    >>> question_id("gpt-4o", Prompt(parts=("Which?",), key="pair-1"), SamplingParams(seed=0))[:8]
    'fa13cc25'
    """
    turns = [(f"{turn.role} ", turn.parts) for turn in prompt.before] + [("", prompt.parts)]
    shown = [
        f"{who}media {media_digest(part)}" if isinstance(part, Media) else f"{who}text {part}"
        for who, parts in turns
        for part in parts
    ]
    asked = [model, sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, prompt.key, *shown]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
