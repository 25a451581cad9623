"""Every door by which bytes from outside come in, as a function of those bytes.

Each returns what it read, or raises an error of ours; `typed` are those. Whatever else it raises is a fault.
"""

import io
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from urt_core import Dialect, MediaPolicy, SamplingParams, Task, parse_judgement
from urt_core.adapters.served import MalformedAnswer, read_rewards
from urt_core.cli.batch.inputs import BadRow, parse_line, row_key
from urt_core.engines.endpoint.answers import read_answer
from urt_core.engines.wrappers.cache import completions_from_json
from urt_core.errors import UrtError
from urt_core.judgement import parse_pair_score, parse_point
from urt_core.judges.spec import FILE_NAME, JudgeSpec
from urt_core.media import MediaLimits, as_media, decode_image, load_frames
from urt_core.media.video import decode_video
from urt_core.prompts import PointContract, point_scale
from urt_core.records import MediaKind
from urt_core.server.bodies import parse
from urt_core.server.problems import Problem
from urt_core.server.protocols.chat import ChatRequest
from urt_core.server.requests import CompareRequest, ComputeRequest, RankRequest, ScoreRequest
from urt_data.shards.index import Manifest, ShardIndex
from urt_data.shards.sample import from_members
from urt_data.shards.tar import scan_tar
from urt_data.sources.archives import Archives
from urt_data.sources.reading.json_rows import read_json, read_lines

Reader = Callable[[bytes], object]
TYPED = (UrtError, MalformedAnswer, Problem)
SMALL = MediaPolicy(min_pixels=1, max_pixels=4096, num_frames=2)
BODIES = (CompareRequest, ScoreRequest, RankRequest, ComputeRequest, ChatRequest)


@cache
def scratch() -> Path:
    """A folder in memory where there is one, gone with the process."""
    folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    scratch.kept = folder  # type: ignore[attr-defined]
    return Path(folder.name)


def written(name: str, data: bytes) -> Path:
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def picture(data: bytes) -> object:
    return decode_image(data).size


def video(data: bytes) -> object:
    """In the process of its own that every video is decoded in."""
    return [frame.size for frame in load_frames(as_media(data, kind=MediaKind.VIDEO), SMALL)]


def video_here(data: bytes) -> object:
    """In this process, for a fuzzer that looks at which lines ran."""
    return decode_video(data, policy=SMALL, name="a", limits=MediaLimits(max_decoded_pixels=2**22))


def shard(data: bytes) -> object:
    return [from_members(sample.members, key=sample.key) for sample in scan_tar(io.BytesIO(data), file_size=len(data))]


def archive(data: bytes) -> object:
    """A file of somebody's data set, by its first byte a tar, a compressed one or a zip."""
    kind = ("tar", "zip", "tar.gz", "tar.xz", "tar.bz2")[data[0] % 5] if data else "tar"
    path = written(f"archives/a.{kind}", data[1:])
    try:
        found = Archives(path.parent)
        return [_size_or_error(found, name) for name in list(found._table())[:50]]
    finally:
        path.unlink()


def _size_or_error(archives: Archives, name: str) -> int | str:
    try:
        return len(archives.read(name, field="image"))
    except UrtError as error:
        return str(error)


def manifest(data: bytes) -> object:
    return Manifest.from_bytes(data, name="manifest.json").to_bytes()


def index(data: bytes) -> object:
    return ShardIndex.from_bytes(data, name="a.tar.idx.json").to_bytes()


def record(data: bytes) -> object:
    return from_members({"json": data, "first.png": b"x", "second.png": b"y"}, key="pair-0")


def rows(data: bytes) -> object:
    """A file of a published set: an array, lines or one object."""
    path = written("rows.json", data)
    return [*read_json(path, within=None), *read_json(path, within="data"), *read_lines(path)]


def request_row(data: bytes) -> object:
    row = parse_line(data, where="line 1")
    return row_key(row, where="line 1"), BadRow


def answer(data: bytes) -> object:
    sampling = SamplingParams(logprobs=bool(data[:1] > b"\x7f"), num_completions=2)
    kind = "text/event-stream" if data[:1] == b"d" else "application/json"
    return read_answer(data, content_type=kind, sampling=sampling, asked_model="judge", accepted_models=())


def served_answer(data: bytes) -> object:
    return read_rewards(data, 2)


def cached_answer(data: bytes) -> object:
    return completions_from_json(data.decode("utf-8", "surrogateescape"))


def judge_file(data: bytes) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a newer minor version opens and says so
        return JudgeSpec.load(written(f"judge/{FILE_NAME}", data).parent)


def judgement(data: bytes) -> object:
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"<" else "replace")
    pairs = [parse_judgement(text, task=task, dialect=dialect) for task in Task for dialect in (None, *Dialect)]
    points = [parse_point(text, contract=contract, task=task) for contract, task in point_questions()]
    return pairs, points, parse_pair_score(text, task=Task.IMAGE_GENERATION)


@cache
def point_questions() -> list[tuple[PointContract, Task]]:
    """The contracts of single candidates, each with the tasks that it knows."""
    known = []
    for contract in PointContract:
        for task in Task:
            with suppress(UrtError):
                point_scale(contract, task)
                parse_point("", contract=contract, task=task)
                known.append((contract, task))
    return known


def body(data: bytes) -> object:
    return parse(BODIES[data[0] % len(BODIES)] if data else CompareRequest, data[1:])


READERS: dict[str, Reader] = {
    read.__name__: read
    for read in (
        picture, video, shard, archive, manifest, index, record, rows, request_row, answer, served_answer, cached_answer,
        judge_file, judgement, body,
    )
}  # fmt: skip


def outcome(read: Reader, data: bytes) -> str:
    """`result`, or the name of the typed error; anything else is raised to whoever asked."""
    try:
        read(data)
    except TYPED as error:
        return type(error).__name__
    return "result"
