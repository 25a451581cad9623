"""UnifiedReward's supervised data: a pairwise prompt and a judgement to imitate (ImageGen-CoT-Reward-5K and the like).

    {"conversations": [{"from": "human", "value": prompt},
                       {"from": "gpt", "value": "<think>...</think>\\n<answer>Image 1 is better</answer>"}],
     "images": ["HPD/a.jpg", "HPD/b.jpg"], "source": "HPD"}

The judgement becomes the record's completion, and its verdict the preference; the order of the candidates is the
prompt's.
"""

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.published.official import EMBEDDED_RECORD, official_pairs
from urt_data.sources.source import Source

SOURCE = Source(
    name="official_sft",
    repository="CodeGoat24/ImageGen-CoT-Reward-5K",
    revision="CodeGoat24/UnifiedReward@ff6f520247",
    licence="MIT on the card, the originals' terms below",
    commercial_ok=False,
    label_origin=LabelOrigin.DISTILLED,
    tasks=tuple(Task),
    files=("**/train_data.json", "**/rejection_sampling_data.json"),
    fields=("conversations", "images", "image", "video", "source", EMBEDDED_RECORD),
    pairs=official_pairs,
)
