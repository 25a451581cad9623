"""What every engine around another one says of itself: what the inner one says."""

from typing import Generic, TypeVar

from urt_core.engines import AsyncEngine, Engine, traits

E = TypeVar("E", bound=Engine | AsyncEngine)


class WrappingEngine(Generic[E]):
    """All `Traits` of `engine`, of which a wrapper then states anew those that it changes."""

    def __init__(self, engine: E) -> None:
        self.engine = engine
        known = traits(engine)
        self.served_model, self.policy, self.honours = known.served_model, known.policy, known.honours
        self.gives_logprobs, self.is_independent, self.budget = known.gives_logprobs, known.is_independent, known.budget
        self.batch_size = known.batch_size
        self.concurrency = known.concurrency if known.is_concurrent else None

    @property
    def model(self) -> str:
        return self.engine.model
