"""VideoDPO: for each prompt the best and the worst of several videos by OmniScore, an automatic score.

    pair.json      {"video1": 0, "video2": 1, "frame_caption": ["a dog surfs"], "score": 0.8}  video1 is the better one
    metadata.json  [{"basic": {"clip_path": "winvideos/000000.mp4"}}, ...]                     indexed by the two

Without metadata.json an even index 2n is taken for `winvideos/<n>.mp4` and an odd one for `losevideos/<n>.mp4`, six
digits long.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from urt_core.records import Preference, Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import BadRow, FieldError, Row, read_rows
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    caption = row.require("frame_caption")
    named = Row(
        file=row.file,
        number=row.number,
        values={"frame_caption": caption[0] if isinstance(caption, list) and caption else caption},
    )
    yield Pair(
        task=Task.VIDEO_GENERATION,
        text=named.text("frame_caption"),
        first=_video(row, folder, "video1"),
        second=_video(row, folder, "video2"),
        preference=Preference.FIRST,
        notes={"pair_probability": row.real("score") if "score" in row else None},
    )


def _video(row: Row, folder: InputFolder, name: str) -> Content:
    index = row.require(name)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise FieldError(name, f"is {index!r}; it must be the index of a video")
    place = PurePosixPath(row.file).parent
    clips = _clips(folder, str(place))
    if clips and index >= len(clips):
        raise FieldError(name, f"is {index}, metadata.json has {len(clips)} videos")
    path = clips[index] if clips else f"{'losevideos' if index % 2 else 'winvideos'}/{index // 2:06d}.mp4"
    if path is None:
        raise FieldError(name, f"is {index}, whose entry of metadata.json has no basic.clip_path")
    return folder.video((place / path).as_posix(), name)


def _clips(folder: InputFolder, place: str) -> list[str | None]:
    """The file of each video by its index; empty where there is no metadata.json."""
    known = folder.recall(f"clips:{place}")
    if known is not None:
        return known
    path = folder.root / place / "metadata.json"
    rows = read_rows(path, name=path.name) if path.is_file() else ()
    return folder.remember(f"clips:{place}", [_clip(row) for row in rows])


def _clip(row: Row | BadRow) -> str | None:
    basic = row.get("basic") if isinstance(row, Row) else None
    path = basic.get("clip_path") if isinstance(basic, dict) else None
    return path if isinstance(path, str) and path.strip() else None


SOURCE = Source(
    name="video_dpo",
    repository="github.com/CIntellifusion/VideoDPO",
    revision="CIntellifusion/VideoDPO@1febdb42db",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=(Task.VIDEO_GENERATION,),
    files=("**/pair.json",),
    fields=("video1", "video2", "frame_caption", "score"),
    winner_first=True,
    pairs=pairs,
)
