"""Folders of shards as one endless order of records, and a cursor in it: what a trainer's `data:` section describes.

mixture, component, selection    which records, and how much of each folder
order, permutation, layout       which of them stands at each position
plan, batches                    which positions a rank reads, in its process or its workers
quarantine                       how many unreadable ones a run may meet
"""

from urt_data.stream.mixture import Mixture, MixtureItem
from urt_data.stream.preference_stream import PreferenceStream
from urt_data.stream.quarantine import Quarantine

__all__ = ["Mixture", "MixtureItem", "PreferenceStream", "Quarantine"]
