"""Preference pairs whose label is known by construction: a right candidate and one with a single cause of being worse.

The causes of each task and their weights are in `CAUSES`. Labels are *constructed*: a program made one candidate worse,
nobody was asked. In a quarter of the generation pairs both candidates share a further flaw, so that finding a flaw is
not yet knowing the worse candidate. The truth a teacher needs travels in `record.metadata["truth"]`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from urt_core import Preference, PreferenceRecord, Task
from urt_core.records import Media, MediaKind
from urt_data.sprites.draw import draw_clip, draw_image, encode_png
from urt_data.sprites.questions import VAGUE, ask
from urt_data.sprites.world import (
    AESTHETIC_FLAWS,
    AUTHENTICITY_FLAWS,
    COLOURS,
    COUNTS,
    MOTIONS,
    SHAPES,
    TEMPORAL_FLAWS,
    Flaw,
    Scene,
    Split,
    sample_scene,
    split_of,
)

SEMANTIC_CAUSES = ("lead", "colour", "shape", "place")
CAUSES: dict[Task, dict[str, int]] = {
    Task.IMAGE_GENERATION: {"lead": 10, "colour": 10, "shape": 10, "place": 10, "aesthetic": 30, "authenticity": 30},
    Task.VIDEO_GENERATION: {"lead": 10, "colour": 10, "shape": 10, "place": 10, "temporal": 30, "authenticity": 30},
    Task.IMAGE_UNDERSTANDING: {"wrong": 80, "vague": 20},
    Task.VIDEO_UNDERSTANDING: {"wrong": 80, "vague": 20},
}
SHARED_FLAW_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What one candidate really shows: `View(scene=Scene(...), flaws=frozenset({Flaw.TORN}))`."""

    scene: Scene
    flaws: frozenset[Flaw] = frozenset()

    def to_json(self) -> dict[str, list]:
        return {"scene": self.scene.to_json(), "flaws": sorted(self.flaws)}

    @classmethod
    def from_json(cls, value: dict[str, list]) -> "View":
        return cls(scene=Scene.from_json(value["scene"]), flaws=frozenset(Flaw(flaw) for flaw in value["flaws"]))

    def draw(self, name: str, rng: random.Random) -> Media:
        """The view as encoded media whose files are called `name.png`, or `name.f00.png` and so on for a clip."""
        if self.scene.is_clip:
            frames = draw_clip(self.scene, flaws=self.flaws, rng=rng)
            files = tuple(f"{name}.f{index:02d}.png" for index in range(len(frames)))
            return Media(kind=MediaKind.VIDEO, files=files, data=tuple(map(encode_png, frames)))
        image = draw_image(self.scene, flaws=self.flaws, rng=rng)
        return Media(kind=MediaKind.IMAGE, files=(f"{name}.png",), data=(encode_png(image),))


def misread(scene: Scene, cause: str, rng: random.Random) -> Scene:
    """`scene` with one semantic error: another lead word, colour or shape on one side, or the sides exchanged."""
    if cause == "place":
        return Scene(left=scene.right, right=scene.left)
    side = rng.choice(("left", "right"))
    group, other = (scene.left, scene.right) if side == "left" else (scene.right, scene.left)
    words = {"lead": MOTIONS if scene.is_clip else COUNTS, "colour": COLOURS, "shape": SHAPES}[cause]
    taken = {getattr(group, cause)} | ({getattr(other, cause)} if cause != "lead" else set())
    changed = replace(group, **{cause: rng.choice([word for word in words if word not in taken])})
    return Scene(left=changed, right=scene.right) if side == "left" else Scene(left=scene.left, right=changed)


def flaw_of(kind: str, rng: random.Random) -> Flaw:
    return rng.choice(
        {"aesthetic": AESTHETIC_FLAWS, "temporal": TEMPORAL_FLAWS, "authenticity": AUTHENTICITY_FLAWS}[kind]
    )


def _generation_views(task: Task, cause: str, split: Split, rng: random.Random) -> tuple[Scene, View, View]:
    """The scene asked for, the better view of it and the worse one; `split` may show every scene in them."""
    look = "temporal" if task.is_video else "aesthetic"
    while True:
        asked = sample_scene(rng, clip=task.is_video, split=split)
        shown = misread(asked, cause, rng) if cause in SEMANTIC_CAUSES else asked
        if split_of(shown) is split.scenes:
            break
    own = frozenset() if cause in SEMANTIC_CAUSES else frozenset({flaw_of(cause, rng)})
    shared: frozenset[Flaw] = frozenset()
    if rng.random() < SHARED_FLAW_SHARE:
        kind = (
            look if cause == "authenticity" else "authenticity" if cause == look else rng.choice((look, "authenticity"))
        )
        shared = frozenset({flaw_of(kind, rng)})
    return asked, View(scene=asked, flaws=shared), View(scene=shown, flaws=own | shared)


def generation_pair(
    key: str, task: Task, *, split: Split, first_is_better: bool, rng: random.Random
) -> PreferenceRecord:
    """A caption and two drawings of it, one of them worse for one cause."""
    (cause,) = rng.choices(list(CAUSES[task]), weights=list(CAUSES[task].values()))
    asked, better, worse = _generation_views(task, cause, split, rng)
    first, second = (better, worse) if first_is_better else (worse, better)
    return PreferenceRecord(
        key=key,
        task=task,
        text=asked.caption,
        first=first.draw("first", rng),
        second=second.draw("second", rng),
        preference=Preference.FIRST if first_is_better else Preference.SECOND,
        metadata=_metadata(
            cause, split, {"asked": asked.to_json(), "first": first.to_json(), "second": second.to_json()}
        ),
    )


def understanding_pair(
    key: str, task: Task, *, split: Split, first_is_better: bool, rng: random.Random
) -> PreferenceRecord:
    """A question about a picture or clip, the right answer, and a wrong or a vague one."""
    (cause,) = rng.choices(list(CAUSES[task]), weights=list(CAUSES[task].values()))
    view = View(scene=sample_scene(rng, clip=task.is_video, split=split))
    question = ask(view.scene, rng)
    better = question.truth
    worse = question.vague(rng) if cause == VAGUE else question.wrong(view.scene, rng)
    first, second = (better, worse) if first_is_better else (worse, better)
    return PreferenceRecord(
        key=key,
        task=task,
        text=question.text,
        first=question.say(first),
        second=question.say(second),
        media=view.draw("media", rng),
        preference=Preference.FIRST if first_is_better else Preference.SECOND,
        metadata=_metadata(
            f"{question.about}_{cause}",
            split,
            {"view": view.to_json(), "about": question.about, "side": question.side, "first": first, "second": second},
        ),
    )


def _metadata(cause: str, split: Split, truth: dict) -> dict:
    return {
        "source": "sprites",
        "licence": "Apache-2.0",
        "label_origin": "constructed",
        "split": str(split),
        "cause": cause,
        "truth": truth,
    }


def pairs(task: Task, number: int, *, split: Split, seed: int) -> Iterator[PreferenceRecord]:
    """`number` pairs of `task`; the better candidate comes first in every other pair, so labels are balanced.

    Each pair has its own generator, seeded by words, so that a pair does not depend on the process or on its
    neighbours.
    """
    make = generation_pair if task.is_generation else understanding_pair
    for index in range(number):
        rng = random.Random(f"sprites/{seed}/{split}/{task}/{index}")
        key = f"sprites-{str(split).replace('_', '-')}-{str(task).replace('_', '-')}-{index:05d}"
        yield make(key, task, split=split, first_is_better=index % 2 == 0, rng=rng)
