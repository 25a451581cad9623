"""Questions about a scene with one right answer, a wrong one and a vague one."""

import random
from dataclasses import dataclass

from urt_data.sprites.world import COLOURS, COUNTS, MOTIONS, SHAPES, Scene

VAGUE = "vague"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """`Question(about="colour", side="left", text="Which colour is on the left?", truth="red")`."""

    about: str
    """lead (how many, or what it does), colour, or shape."""
    side: str
    text: str
    truth: str
    """The one word that answers it."""

    def say(self, word: str) -> str:
        """An answer as a person would say it: `It is red.`"""
        if word in COUNTS or (self.about == "lead" and word.split()[0] in COUNTS):
            return f"There {'is' if word == 'one' else 'are'} {word}."
        return f"A {word}." if self.about == "shape" else f"It is {word}."

    def wrong(self, scene: Scene, rng: random.Random) -> str:
        """Another word of the same kind; for a shape, every other time the thing on the other side."""
        if self.about == "shape" and rng.random() < 0.5:
            return (scene.right if self.side == "left" else scene.left).shape
        words = {"lead": MOTIONS if scene.is_clip else COUNTS, "colour": COLOURS, "shape": SHAPES}[self.about]
        return rng.choice([word for word in words if word != self.truth])

    def vague(self, rng: random.Random) -> str:
        """The right word hedged with a wrong one, in either order."""
        words = next(words for words in (COUNTS, MOTIONS, COLOURS, SHAPES) if self.truth in words)
        other = rng.choice([word for word in words if word != self.truth])
        return f"{other} or {self.truth}" if rng.random() < 0.5 else f"{self.truth} or {other}"


def ask(scene: Scene, rng: random.Random) -> Question:
    """A question about one side of `scene`."""
    side = rng.choice(("left", "right"))
    about = rng.choice(("lead", "colour", "shape"))
    match about:
        case "colour":
            text = f"Which colour is on the {side}?"
        case "shape":
            text = f"What kind of thing is on the {side}?"
        case _ if scene.is_clip:
            text = f"What does the thing on the {side} do?"
        case _:
            text = f"How many things are on the {side}?"
    group = scene.left if side == "left" else scene.right
    return Question(about=about, side=side, text=text, truth=getattr(group, about))
