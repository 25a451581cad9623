"""UnifiedReward's GRPO data: a pairwise prompt and the right verdict (`grpo_train_data.json` of each collection).

    {"problem": prompt, "solution": "Image 1 is better", "images": ["a.jpg", "b.jpg"]}

File names start from the folder of the JSON file, or else from the input folder or the one given as `media`.
"""

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.published.official import EMBEDDED_RECORD, official_pairs
from urt_data.sources.source import Source

SOURCE = Source(
    name="official_grpo",
    repository="CodeGoat24 (collection UnifiedReward training data)",
    revision="CodeGoat24/UnifiedReward@ff6f520247",
    licence="MIT on the cards, the originals' terms below",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=tuple(Task),
    files=("**/grpo_train_data.json",),
    fields=("problem", "solution", "images", "image", "video", "source", EMBEDDED_RECORD),
    pairs=official_pairs,
)
