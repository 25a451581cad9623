"""Preference data at scale, exactly once: plain tar shards that prove their integrity, and streams that resume
anywhere.

records --ShardWriter--> folder of shards --ShardFolder--> records by position
                                          --Mixture, PreferenceStream--> batches in a fixed global order
"""

from urt_data.shards import Check, ShardCache, ShardFolder, ShardWriter
from urt_data.stream import Mixture, MixtureItem, PreferenceStream, Quarantine

__all__ = [
    "Check",
    "Mixture",
    "MixtureItem",
    "PreferenceStream",
    "Quarantine",
    "ShardCache",
    "ShardFolder",
    "ShardWriter",
]
