"""What a run may be trained on: stated by each record, summed up in the manifest, enforced by the mixture."""

from collections.abc import Iterable, Sequence
from typing import Any

from urt_data.errors import LicenceError
from urt_data.shards import ShardFolder
from urt_data.shards.index import add_provenance


def provenance(folders: Iterable[ShardFolder]) -> list[dict[str, Any]]:
    """Source, revision, licence, commercial_ok, evaluation_only and num_samples of everything in `folders`."""
    return add_provenance(row for folder in folders for row in folder.manifest["provenance"])


def check_licences(folders: Sequence[ShardFolder], *, allow_noncommercial: bool, allow_evaluation: bool) -> None:
    """Refuse sources that forbid commercial use, and benchmarks. Records that state nothing are the user's own."""
    for folder in folders:
        for row in folder.manifest["provenance"]:
            if row["commercial_ok"] is False and not allow_noncommercial:
                raise LicenceError(
                    f"{folder.folder} holds {row['num_samples']:,} records of {row['source']} with licence {row['licence']!r}, which does not "
                    "allow commercial use; leave it out, or pass allow_noncommercial=True for a model that stays non-commercial"
                )
            if row["evaluation_only"] and not allow_evaluation:
                raise LicenceError(
                    f"{folder.folder} holds {row['num_samples']:,} records of {row['source']} that are for evaluation only; "
                    "training on them makes the benchmark worthless. Leave it out, or pass allow_evaluation=True to read it for evaluation"
                )
