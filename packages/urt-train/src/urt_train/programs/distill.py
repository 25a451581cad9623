"""Ask a teacher about labelled pairs and keep the judgements whose verdict is the label: what the cold start imitates.

    urt-train distill recipe=qwen3_vl_8b data.train=<folder of shards> distill.model=gpt-4o
    urt-train distill recipe=qwen3_vl_8b data.train=<folder of shards> distill.base_url=http://localhost:8000/v1 distill.model=<name>

What was answered is kept: started again, it asks only about the rest.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program(is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.experiment.work import run_missing

    run_missing(config, "distill")

    from urt_train.experiment.data import make_traces

    make_traces(config)
