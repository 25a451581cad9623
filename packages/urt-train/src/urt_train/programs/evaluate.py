"""Measure a judge on held-out pairs.

    urt-train evaluate recipe=qwen3_vl_8b data.test=<folder of shards>      the newest stage of the recipe
    urt-train evaluate checkpoint=<model folder> data.test=<folder of shards>
    urt-train evaluate evaluation.engine=vllm evaluation.workers=4 ...      four processes, each with vLLM on a GPU of its own
    torchrun --nproc-per-node 4 -m urt_train evaluate ...                   the same over processes that torchrun starts

Of a recipe's own stages it brings results.md and report.html up to date.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program()
def main(config: TrainConfig) -> None:
    from rich.console import Console

    from urt_core.bench.tables import evaluation_tables, print_tables
    from urt_core.errors import DataError
    from urt_core.judging.share import Share
    from urt_train.experiment.assessment import assess, evaluation_folder, is_of_recipe, newest_judge
    from urt_train.experiment.results import write_results

    checkpoint = config.checkpoint or newest_judge(config)
    console = Console()
    results = assess(config, checkpoint)
    if Share.from_environment().rank:
        return
    for split, result in results.items():
        console.print(f"\n{checkpoint} on {split}\n", highlight=False, soft_wrap=True)
        print_tables(evaluation_tables(result), console=console)
        console.print(
            f"tables, result and every judgement: {evaluation_folder(config, checkpoint, split)}", highlight=False
        )
    if is_of_recipe(config, checkpoint):
        try:
            _, page, report = write_results(config)
            console.print(f"the stages side by side: {report}\ntables: {page}", highlight=False, soft_wrap=True)
        except DataError as error:  # stages that can't be compared: the evaluation stands all the same
            console.print(f"no report: {error}", highlight=False, soft_wrap=True)
