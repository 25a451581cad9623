"""Which positions of the global order one rank reads in each batch of an epoch."""

from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochPlan:
    """The batches of one rank from `position` to the end of an epoch at `stop`.

    EpochPlan(position=0, stop=10, batch_size=2, rank=1, world_size=2).span(0)  ->  (2, 4)
    """

    position: int
    stop: int
    batch_size: int
    rank: int
    world_size: int

    @property
    def num_batches(self) -> int:
        """Equal on every rank: the last, shorter batch exists where every rank gets at least one record of it."""
        full, rest = divmod(self.stop - self.position, self.batch_size * self.world_size)
        return full + (rest >= self.world_size)

    def span(self, batch: int) -> Span:
        """First and one past the last position that this rank reads in `batch`."""
        start, stop = self.after(batch - 1), self.after(batch)
        width = stop - start
        return start + self.rank * width // self.world_size, start + (self.rank + 1) * width // self.world_size

    def after(self, batch: int) -> int:
        """The position of the whole world after `batch`; with -1 the one before the first."""
        return min(self.position + (batch + 1) * self.batch_size * self.world_size, self.stop)
