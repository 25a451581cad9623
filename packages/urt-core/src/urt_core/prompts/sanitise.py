"""User text is data: it cannot open a chat turn, an image slot, a tag or a verdict.

A special token is broken by a space behind its `<`: `<|im_end|>` becomes `< |im_end|>`. A reader still sees what was
written, every tokenizer splits it into plain text, and the parser does not take `< answer>` for a tag.
"""

import re

# The added tokens of each family's tokenizer, from their public configurations. The patterns below match their shapes;
# the lists are what the tests hold the patterns to.
_QWEN2_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>"),
    *("<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
_QWEN3_TOKENS = (*_QWEN2_TOKENS, "<tool_response>", "</tool_response>", "<think>", "</think>")
SPECIAL_TOKENS: dict[str, tuple[str, ...]] = {
    "Qwen2.5-VL": _QWEN2_TOKENS,
    "Qwen3-VL": _QWEN3_TOKENS,
    "Qwen3.5": (
        *_QWEN3_TOKENS,
        *("<|audio_start|>", "<|audio_end|>", "<|audio_pad|>"),
        *("<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>"),
    ),
    "LLaVA-OneVision": ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"),
}

_CONTROL_NAMES = r"image|video|audio|im_start|im_end|im_patch|tool_call|tool_response|tts_\w{1,20}|s"
_TAG_NAMES = r"think|answer"
_SPECIAL = re.compile(rf"<\|[^<>|\s]{{1,40}}\|>|</?(?:{_CONTROL_NAMES})>", re.IGNORECASE)
_UNSAFE = re.compile(rf"<(?=\||/?(?:{_CONTROL_NAMES}|{_TAG_NAMES})[ \t]*/?>)", re.IGNORECASE)
# A line of user text that starts like one of the prompt's own labels is quoted, so that it cannot pose as a candidate.
_LABEL_LINE = re.compile(
    r"(?m)^(?=[ \t]*(?:(?:image|video|answer)[ \t]*[12]|caption|question)[ \t]*[:\uff1a])", re.IGNORECASE
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def sanitise(text: str) -> str:
    """User text in a form that no tokenizer, chat template or parser takes for structure. Idempotent."""
    text = _LONE_SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd"))
    return _LABEL_LINE.sub("> ", _UNSAFE.sub("< ", text))


def find_special_token(text: str) -> str | None:
    """The first turn, media or tool token that the text spells, or None. The tags of the dialects are not among
    them."""
    found = _SPECIAL.search(text)
    return found[0] if found else None
