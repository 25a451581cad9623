"""The embedded world: scenes of emoji with known truth, pairs made of them, and the oracle that judges them."""

from urt_data.sprites.build import build_split
from urt_data.sprites.lessons import Lesson, LessonStream
from urt_data.sprites.oracle import OracleTeacher
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split

__all__ = ["Lesson", "LessonStream", "OracleTeacher", "Split", "build_split", "pairs"]
