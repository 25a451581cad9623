"""Reasoning that a server split off from the answer, put back where the judge wrote it: before anything is parsed."""

OPENING, CLOSING = "<think>", "</think>"


def join_reasoning(reasoning: str, content: str, *, field: str) -> tuple[str, str]:
    """The whole text as the model wrote it, and a hint where it can't be one. `field` is where the server put the
    reasoning.

    >>> join_reasoning("Both are fine.", "<answer>Image 1 is better</answer>", field="reasoning")
    ('<think>\\nBoth are fine.\\n</think>\\n<answer>Image 1 is better</answer>', '')
    """
    if not reasoning.strip():
        return content, ""
    if not content.strip():
        # A parser that waits for a closing tag of its own takes all for reasoning, the answer included.
        hint = (
            f"the content is empty and all text is in {field!r}: the server's reasoning parser took it; switch its thinking off "
            '(extra_body {"chat_template_kwargs": {"enable_thinking": false}}, profile vllm-reasoning), or start it without the parser'
        )
        return (reasoning if "<answer>" in reasoning or CLOSING in reasoning else wrapped(reasoning)), hint
    # Told twice; or an answer without tags, which is read by itself, in front of which the model thought in its own
    # way.
    if OPENING in content or "<answer>" not in content:
        return content, ""
    return f"{wrapped(reasoning)}\n{content}", ""


def wrapped(reasoning: str) -> str:
    """In one pair of tags, whichever of them the server has left inside."""
    inner = reasoning.strip().removeprefix(OPENING).removesuffix(CLOSING).strip()
    return f"{OPENING}\n{inner}\n{CLOSING}"
