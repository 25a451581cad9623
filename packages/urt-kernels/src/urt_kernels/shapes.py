"""Names of the annotations.

Shape annotations are never evaluated in production (every module postpones them), so that jaxtyping stays a tool of
the test run and not a dependency.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING or find_spec("jaxtyping") is not None:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from jaxtyping import Shaped as Shaped
else:
    Bool = Float = Int = Shaped = None

# A run-time type checker does not take an int for a float; users do.
Number = int | float
