"""HPDv2: ranked images of one prompt. Train rows are pairs, test rows are rank lists by several annotators.

train.json  {"prompt", "file_path": [a, b], "human_preference": [1, 0]} test.json   {"prompt", "image_path": [...],
"rank": [...], "raw_annotations": [{"rank": [...], "user_hash"}]}
"""

from collections.abc import Iterator
from itertools import combinations

from urt_core.records import Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, Votes, compare, split_of
from urt_data.sources.rows import FieldError, Row, as_real
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    return _ranked_pairs(row, folder) if "rank" in row else _train_pair(row, folder)


def _train_pair(row: Row, folder: InputFolder) -> Iterator[Pair]:
    paths = row.items("file_path", length=2)
    first, second = (as_real(value, "human_preference") for value in row.items("human_preference", length=2))
    split = split_of(row.file) or "train"
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        first=folder.image(paths[0], "file_path", under=(split, "")),
        second=folder.image(paths[1], "file_path", under=(split, "")),
        preference=compare(first, second),
        split=split,
    )


def _ranked_pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    """All pairs of the list. The averaged rank decides, the annotators' own ranks become votes."""
    paths = row.items("image_path")
    ranks = [as_real(rank, "rank") for rank in row.items("rank", length=len(paths))]
    annotations = [_annotation(annotation, len(paths)) for annotation in row.get("raw_annotations") or ()]
    split = split_of(row.file) or "test"
    images = [folder.image(path, "image_path", under=(split, "")) for path in paths]
    for first, second in combinations(range(len(paths)), 2):
        yield Pair(
            task=Task.IMAGE_GENERATION,
            text=row.text("prompt"),
            first=images[first],
            second=images[second],
            preference=compare(-ranks[first], -ranks[second]),
            votes=_votes(annotations, first, second) if annotations else None,
            scores={"rank": (ranks[first], ranks[second])},
            split=split,
        )


def _annotation(annotation: object, length: int) -> list[float]:
    ranks = annotation.get("rank") if isinstance(annotation, dict) else None
    if not isinstance(ranks, list) or len(ranks) != length:
        raise FieldError("raw_annotations", f"holds ranks {ranks!r}; each annotator must rank all {length} images")
    return [as_real(rank, "raw_annotations") for rank in ranks]


def _votes(annotations: list[list[float]], first: int, second: int) -> Votes:
    return Votes(
        first=sum(ranks[first] < ranks[second] for ranks in annotations),
        second=sum(ranks[first] > ranks[second] for ranks in annotations),
        tie=sum(ranks[first] == ranks[second] for ranks in annotations),
    )


SOURCE = Source(
    name="hpdv2",
    repository="ymhao/HPDv2",
    revision="tgxs002/HPSv2@866735ecaa",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("train.json", "test.json"),
    fields=("prompt", "file_path", "human_preference", "image_path", "rank", "raw_annotations"),
    pairs=pairs,
)
