"""The public UnifiedReward judges by name: what they are, how they are asked, and what they were trained with.

Facts of the authors' repository (github.com/CodeGoat24/UnifiedReward, MIT, commit ff6f520) and of its scripts. Weights are
named, never shipped. Their prompts aren't ours to ship either: a judge is asked in urt's own wording unless a folder of
templates is given, and what it answers is then not what its authors measured. Every answer says which.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy

OWNER = "CodeGoat24"
LICENCE = "MIT (repository)"
OWN_WORDING = (
    "asked in urt's own wording, which is not what this judge was trained with; give its templates (--templates FOLDER, templates=) "
    "for what its authors measured"
)
_APACHE, _RESEARCH, _QWEN = "Apache-2.0", "Qwen Research (non-commercial)", "Qwen"
_LLAVA, _QWEN25, _QWEN3, _QWEN35 = "LLaVA-OneVision-Qwen2", "Qwen2.5-VL", "Qwen3-VL", "Qwen3.5"
_SQUARE = MediaPolicy(min_pixels=512 * 512, max_pixels=512 * 512)
"""LLaVA: everything is scaled to 512 x 512; here with that many pixels and the aspect ratio kept."""
_GRPO_CAP = MediaPolicy(max_pixels=147_456)
"""The Qwen GRPO script: 384 x 384."""
_NATIVE = MediaPolicy(max_pixels=1024 * 1024)
"""The authors' vLLM client sends native sizes; here bounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedJudge:
    """One set of weights.

    ReleasedJudge(name="unifiedreward-think-qwen3vl-8b", hub_id="CodeGoat24/UnifiedReward-Think-qwen3vl-8b", size="8B",
                  base="Qwen3-VL", base_licence="Apache-2.0", dialect="v2", point_contracts=(), policy=MediaPolicy(...))
    """

    name: str
    hub_id: str
    size: str
    base: str
    base_licence: str
    """Licence of the model it was trained from; the weights stand under it as well."""
    dialect: str
    """The contract that pairs are judged by."""
    point_contracts: tuple[str, ...] = ()
    """Contracts that single candidates are scored by."""
    policy: MediaPolicy
    max_completion_tokens: int = 4096
    """As the authors' client asks for."""
    note: str = ""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """What an endpoint has to be told with each request."""

    @property
    def vllm_options(self) -> dict[str, Any]:
        """Of `VLLMEngine`, as the authors serve it: at most 32 images a prompt, prefix caching."""
        return {"max_images": 32, "enable_prefix_caching": True}

    @property
    def vllm_command(self) -> str:
        """The line that serves it."""
        return (
            f"vllm serve {self.hub_id} --served-model-name {self.name} --limit-mm-per-prompt '{{\"image\": 32}}' "
            "--enable-prefix-caching"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "hub_id": self.hub_id, "size": self.size, "base": self.base, "licence": LICENCE,
            "base_licence": self.base_licence, "dialect": self.dialect, "point_contracts": list(self.point_contracts),
            "min_pixels": self.policy.min_pixels, "max_pixels": self.policy.max_pixels, "num_frames": self.policy.num_frames,
            "max_completion_tokens": self.max_completion_tokens, "vllm": self.vllm_command, "wording": OWN_WORDING, "note": self.note,
        }  # fmt: skip


def _family(stem: str, sizes: str, base: str, policy: MediaPolicy, **facts: Any) -> Iterator[ReleasedJudge]:
    for size in sizes.split():
        hub_id = f"{OWNER}/UnifiedReward{stem}-{size}"
        licence = _base_licence(base, size)
        extra = {"chat_template_kwargs": {"enable_thinking": False}} if base == _QWEN35 else {}
        yield ReleasedJudge(
            name=hub_id.split("/")[1].lower(),
            hub_id=hub_id,
            size=size.split("-")[0].upper(),
            base=base,
            base_licence=licence,
            policy=policy,
            extra_body=extra,
            **facts,
        )


def _base_licence(base: str, size: str) -> str:
    if base == _QWEN25:
        return {"3b": _RESEARCH, "72b": _QWEN}.get(size, _APACHE)
    return _APACHE


def _released() -> Iterator[ReleasedJudge]:
    think, think_qwen = "no tie; reasons before it decides", "no tie; GRPO capped images at 384 x 384"
    yield from _family("-Think", "7b", _LLAVA, _SQUARE, dialect="v1", note=think)
    yield from _family("-Think-qwen", "7b", _QWEN25, _GRPO_CAP, dialect="v1", note=think_qwen)
    yield from _family("-Think-qwen3vl", "2b 4b 8b 32b", _QWEN3, _NATIVE, dialect="v2", note=think)
    yield from _family("-Think-qwen35", "9b", _QWEN35, _NATIVE, dialect="v2", note=think)
    final: dict[str, Any] = {"dialect": "direct", "point_contracts": ("final_score",)}
    yield from _family("", "0.5b 7b", _LLAVA, _SQUARE, **final)
    yield from _family("", "7b-v1.5", _LLAVA, _SQUARE, dialect="direct", point_contracts=("final_score", "acs"))
    yield from _family("-qwen", "3b 7b 32b", _QWEN25, _NATIVE, **final)
    second: dict[str, Any] = {
        "dialect": "pair_score",
        "point_contracts": ("acs", "aps"),
        "note": "videos are scored on 16 frames (aps)",
    }
    yield from _family("-2.0-qwen", "3b 7b 32b 72b", _QWEN25, _NATIVE, **second)
    yield from _family("-2.0-qwen3vl", "2b 4b 8b 32b", _QWEN3, _NATIVE, **second)
    yield from _family("-2.0-qwen35", "9b 27b", _QWEN35, _NATIVE, **second)
    edit: dict[str, Any] = {"dialect": "edit_pair", "note": "compares edits of a picture, which is shown beside them"}
    yield from _family("-Edit-qwen", "3b 7b 32b 72b", _QWEN25, _NATIVE, **edit)
    yield from _family("-Edit-qwen3vl", "2b 4b 8b 32b", _QWEN3, _NATIVE, **edit)
    flex: dict[str, Any] = {"dialect": "flex", "note": "images and videos only; chooses its categories"}
    yield from _family("-Flex-qwen3vl", "2b 4b 8b 32b", _QWEN3, _NATIVE, **flex)
    yield from _family("-Flex-qwen35", "9b", _QWEN35, _NATIVE, **flex)


RELEASED: dict[str, ReleasedJudge] = {judge.name: judge for judge in _released()}


def released(name: object) -> ReleasedJudge | None:
    """The judge of that name or hub id, whatever the letter case; None where it is neither."""
    return RELEASED.get(_plain(name))


def need_released(name: str) -> ReleasedJudge:
    """The judge of that name or hub id. A ConfigError names up to five that hold the name, or else are spelled like it."""
    judge = released(name)
    if judge is None:
        plain = _plain(name)
        near = [known for known in RELEASED if plain in known][:5] or get_close_matches(plain, RELEASED, n=5)
        told = f"near: {', '.join(near)}; " if near else ""
        raise ConfigError(f"judge is {name!r}, which is none of the released ones; {told}`urt judges` lists them all")
    return judge


def _plain(name: object) -> str:
    return str(name).lower().removeprefix(f"{OWNER.lower()}/")


def wording_of(name: object, *, templates: object) -> str:
    """What an answer of that judge has to say about its prompt; nothing where it is no released one, or its templates are given."""
    return OWN_WORDING if released(name) and templates is None else ""
