"""Measure a judge on held-out pairs: python apps/evaluate.py checkpoint=<model folder> [data.test=<folder of shards>]"""

from pathlib import Path

from urt_train.config import TrainConfig
from urt_train.program import program


@program(Path(__file__).parent / "configs", is_single=True)
def main(config: TrainConfig) -> None:
    from rich.console import Console

    from urt_train.assessment import assess, evaluation_folder, newest_judge
    from urt_train.tables import evaluation_tables, print_tables

    checkpoint = config.checkpoint or newest_judge(config)
    console = Console()
    for split, result in assess(config, checkpoint).items():
        console.print(f"\n{checkpoint} on {split}\n", highlight=False, soft_wrap=True)
        print_tables(evaluation_tables(result), console=console)
        console.print(
            f"tables, result and every judgement: {evaluation_folder(config, checkpoint, split)}", highlight=False
        )


if __name__ == "__main__":
    main()
