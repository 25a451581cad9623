"""Several folders of shards as one."""

from urt_data.component import Component
from urt_data.shards import ShardFolder


class Mixture:
    def __init__(self, components: list[Component], draws: list[int], fingerprint: str) -> None:
        self.components, self.draws, self.fingerprint = tuple(components), tuple(draws), fingerprint


def as_mixture(source: "ShardFolder | Mixture") -> Mixture:
    if isinstance(source, Mixture):
        return source
    return Mixture([Component(source)], [len(source)], source.manifest_sha256)
