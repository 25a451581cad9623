"""Published preference data and benchmarks, one file each: rows in their own schema -> `PreferenceRecord`.

    from urt_data import sources
    for result in sources.get("hpdv3").records("downloads/HPDv3"):      # PreferenceRecord with media bytes, or RowError
        ...

source.py says what a source is and what all share; rows.py, folder.py and `reading` read files; `published` has a file per
set (docs/sources.md lists them), `own` reads tables, folders and tars of your own.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

from urt_core.doors import load_door, what_was_raised
from urt_core.errors import ConfigError, UrtError
from urt_data.sources.own.folders import folders
from urt_data.sources.own.generic import generic
from urt_data.sources.own.webdataset import webdataset
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.published import (
    evalmuse,
    genai_bench_image,
    genai_bench_video,
    hpdv2,
    hpdv3,
    image_reward_db,
    lift_hra,
    llava_critic,
    mm_rlhf_rewardbench,
    mmrb2,
    multimodal_rewardbench,
    official_grpo,
    official_mixture,
    official_scores,
    official_sft,
    open_image_preferences,
    pick_a_pic,
    rapidata_image,
    rapidata_video,
    rlaif_v,
    sharegptvideo_dpo,
    video_dpo,
    video_feedback,
    videoalign,
    videogen_rewardbench,
    vl_rewardbench,
)
from urt_data.sources.rows import RowError
from urt_data.sources.source import Conversion, Source

__all__ = ["SOURCES", "Conversion", "LabelOrigin", "RowError", "Source", "get"]

SOURCES: dict[str, Callable[..., Source]] = {
    "official_sft": official_sft.SOURCE.configured,
    "official_grpo": official_grpo.SOURCE.configured,
    "official_mixture": official_mixture.SOURCE.configured,
    "official_pair_scores": official_scores.PAIR_SCORES.configured,
    "official_point_scores": official_scores.POINT_SCORES.configured,
    "official_flex": official_scores.FLEX_VERDICTS.configured,
    "hpdv2": hpdv2.SOURCE.configured,
    "hpdv3": hpdv3.SOURCE.configured,
    "pick_a_pic": pick_a_pic.SOURCE.configured,
    "image_reward_db": image_reward_db.SOURCE.configured,
    "open_image_preferences": open_image_preferences.SOURCE.configured,
    "evalmuse": evalmuse.SOURCE.configured,
    "rapidata_image": rapidata_image.SOURCE.configured,
    "rapidata_video": rapidata_video.SOURCE.configured,
    "video_dpo": video_dpo.SOURCE.configured,
    "video_feedback": video_feedback.SOURCE.configured,
    "videoalign": videoalign.SOURCE.configured,
    "lift_hra": lift_hra.SOURCE.configured,
    "llava_critic": llava_critic.SOURCE.configured,
    "sharegptvideo_dpo": sharegptvideo_dpo.SOURCE.configured,
    "rlaif_v": rlaif_v.SOURCE.configured,
    "videogen_rewardbench": videogen_rewardbench.SOURCE.configured,
    "genai_bench_image": genai_bench_image.SOURCE.configured,
    "genai_bench_video": genai_bench_video.SOURCE.configured,
    "vl_rewardbench": vl_rewardbench.SOURCE.configured,
    "multimodal_rewardbench": multimodal_rewardbench.SOURCE.configured,
    "mmrb2": mmrb2.SOURCE.configured,
    "mm_rlhf_rewardbench": mm_rlhf_rewardbench.SOURCE.configured,
    "generic": generic,
    "webdataset": webdataset,
    "folders": folders,
}
"""Name -> a function from the source's options to the source."""


GROUP = "urt.sources"
"""The group of entry points that installs sources."""
EXPECTED = "a urt_data.sources.Source, or a function from options to one"


def get(name: str, **options: Any) -> Source:
    """The source called `name` with its options: `pairing` of rank lists, or all about your own table (`generic`).

    A source of your own is named by its import path, `package.module:name`, or by an entry point of the group
    `urt.sources`. A `TypeError` names an option that a function does not have.
    """
    found = load_door(name, kind="source", group=GROUP, built_in=SOURCES, expected=EXPECTED)
    if isinstance(found, Source):
        source = found.configured(**options)
    elif not callable(found):
        source = found
    else:
        signature(found).bind(**options)
        try:
            source = found(**options)
        except UrtError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(f"source {name!r} raised {what_was_raised(error)}; expected: {EXPECTED}") from error
    if not isinstance(source, Source):
        raise ConfigError(f"source {name!r} is a {type(source).__name__}; expected: {EXPECTED}")
    if not callable(source.pairs or source.member) or isinstance(source.files, str):
        raise ConfigError(
            f"source {name!r} has pairs={source.pairs!r}, member={source.member!r} and files={source.files!r}; expected:"
            " a function of a row as one of the two, and a tuple of patterns"
        )
    return source
