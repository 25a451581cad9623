"""What can exist in the sprite world, in words: groups, scenes, splits. No pixels here.

A scene has two groups, one on the left and one on the right. In an image a group is a number of equal things
("two blue fish"); in a clip it is one thing and what it does ("a rising blue fish"). Either way a group is three words:
a lead word (count or motion), a colour and a shape, so that one grammar serves pictures and clips.

Splits share no scene: a scene belongs to train, validation or test by a hash of its words. A few colour-shape
combinations (`UNSEEN_COMBINATIONS`) occur in the `test_unseen` split alone.
"""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum

COUNTS = ("one", "two", "three")
MOTIONS = ("rising", "falling", "still")
COLOURS = ("red", "yellow", "green", "blue", "purple")
SHAPES = ("star", "heart", "fish", "tree", "key", "moon")
PLURALS = {shape: shape if shape == "fish" else f"{shape}s" for shape in SHAPES}
UNSEEN_COMBINATIONS = frozenset({("purple", "fish"), ("green", "key"), ("yellow", "heart"), ("blue", "tree")})

Flaw = StrEnum(
    "Flaw",
    ["BLURRED", "NOISY", "TINTED", "TORN", "DOUBLED", "UNFINISHED", "JITTERY", "FLICKERING", "CHANGING"],
)
AESTHETIC_FLAWS = (Flaw.BLURRED, Flaw.NOISY, Flaw.TINTED)
AUTHENTICITY_FLAWS = (Flaw.TORN, Flaw.DOUBLED, Flaw.UNFINISHED)
TEMPORAL_FLAWS = (Flaw.JITTERY, Flaw.FLICKERING, Flaw.CHANGING)


class Split(StrEnum):
    TRAIN = "train"
    POOL = "pool"
    """Further pairs of training scenes: what rejection sampling judges, apart from the pairs a teacher has shown."""
    VALIDATION = "validation"
    TEST = "test"
    TEST_UNSEEN = "test_unseen"

    @property
    def scenes(self) -> "Split":
        """The split whose scenes its pairs show."""
        return Split.TRAIN if self is Split.POOL else self


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Equal things of one side: `Group(lead="two", colour="blue", shape="fish")` reads "two blue fish"."""

    lead: str
    colour: str
    shape: str

    @property
    def words(self) -> tuple[str, str, str]:
        return self.lead, self.colour, PLURALS[self.shape] if self.lead in ("two", "three") else self.shape

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def count(self) -> int:
        return COUNTS.index(self.lead) + 1 if self.lead in COUNTS else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """`Scene(left=Group(lead="one", ...), right=Group(lead="two", ...))`: an image when the leads count, else a
    clip."""

    left: Group
    right: Group

    @property
    def is_clip(self) -> bool:
        return self.left.lead in MOTIONS

    @property
    def groups(self) -> tuple[Group, Group]:
        return self.left, self.right

    @property
    def caption(self) -> str:
        return f"{self.left} on the left, {self.right} on the right"

    def to_json(self) -> list[list[str]]:
        return [[group.lead, group.colour, group.shape] for group in self.groups]

    @classmethod
    def from_json(cls, value: list[list[str]]) -> "Scene":
        left, right = (Group(lead=lead, colour=colour, shape=shape) for lead, colour, shape in value)
        return cls(left=left, right=right)


def split_of(scene: Scene) -> Split:
    """The one split that may show `scene`: 80 % of scenes train, 10 % validation, 10 % test, by hash."""
    if any((group.colour, group.shape) in UNSEEN_COMBINATIONS for group in scene.groups):
        return Split.TEST_UNSEEN
    bucket = hashlib.sha256(scene.caption.encode()).digest()[0] % 10
    return Split.TRAIN if bucket < 8 else Split.VALIDATION if bucket == 8 else Split.TEST


def sample_scene(rng: random.Random, *, clip: bool, split: Split) -> Scene:
    """A scene that `split` may show; left and right always differ in shape and colour, so that a question names one of
    them."""
    leads = MOTIONS if clip else COUNTS
    while True:
        left_shape, right_shape = rng.sample(SHAPES, 2)
        left_colour, right_colour = rng.sample(COLOURS, 2)
        scene = Scene(
            left=Group(lead=rng.choice(leads), colour=left_colour, shape=left_shape),
            right=Group(lead=rng.choice(leads), colour=right_colour, shape=right_shape),
        )
        if split_of(scene) is split.scenes:
            return scene
