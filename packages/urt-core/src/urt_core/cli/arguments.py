"""What can be typed behind `urt`. Nothing heavy is imported before a command runs."""

import argparse
import ast
import json
import os
from functools import partial
from typing import Any

from urt_core.cli.bench.arguments import add_bench
from urt_core.cli.lazily import lazily
from urt_core.comparison import ProbabilityMethod
from urt_core.judges.pretrained import ENGINE_KINDS
from urt_core.judges.released import need_released
from urt_core.prompts import PointContract
from urt_core.records import Task

EXAMPLES = """examples:
  urt compare --example
  urt compare --model outputs/tiny/grpo/model --task image_generation --text "a red cube" --first a.png --second b.png
  urt compare --base-url http://localhost:8000/v1 --model judge --dialect v2 --input pairs.jsonl --output results.jsonl
  urt rank    --model outputs/tiny/grpo/model --task image_generation --text "a cat" --candidates 1.png 2.png 3.png
  urt serve   --model outputs/tiny/grpo/model --port 8090
  urt parse   --task image_generation judgement.txt
  urt bench   rescore judgements.jsonl --benchmark genai_bench --rule four_way
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="urt",
        description="Compare, score and rank images, videos and answers with a reward model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    compare = add_command(commands, "compare", "judge one pair, or every pair of a file")
    add_request(compare, "first", "second")
    compare.add_argument(
        "--example",
        action="store_true",
        help="judge six pairs that ship with urt, by the tiny judge where no --model is given",
    )
    add_batch(compare)
    add_pairwise(compare)

    score = add_command(commands, "score", "score one candidate, or every candidate of a file")
    add_request(score, "candidate")
    add_batch(score)
    scale = score.add_mutually_exclusive_group()
    scale.add_argument(
        "--contract",
        default="think",
        help="what the judge writes: " + ", ".join(PointContract) + ", or a path of your own (default %(default)s)",
    )
    scale.add_argument(
        "--against",
        choices=("anchors",),
        help="the calibrated probability of beating the anchors in the judge's folder, answered at once; on one scale for all prompts",
    )

    rank = add_command(commands, "rank", "rank candidates by comparing pairs of them")
    add_request(rank)
    rank.add_argument("--candidates", nargs="+", metavar="FILE", help="images, videos, or answers as text")
    add_batch(rank)
    add_pairwise(rank)
    rank.add_argument(
        "--method",
        choices=("round_robin", "swiss"),
        default="round_robin",
        help="every pair, or the rounds of a Swiss tournament (default %(default)s)",
    )
    rank.add_argument("--num-rounds", type=int, help="of the tournament (default: about log2 of the candidates)")

    serve = add_command(commands, "serve", "serve the judge over HTTP")
    add_pairwise(serve)
    add_server(serve)
    for command in (compare, score, rank, serve):
        add_judge(command, is_needed=command is not compare)

    doctor = add_command(
        commands, "doctor", "ask an endpoint three questions: which profile fits, what works, what it costs"
    )
    doctor.add_argument("--model", required=True, help="its name at the endpoint")
    add_endpoint(doctor)
    doctor.add_argument("--dialect", default="v1", help="of the judgement that is asked for (default %(default)s)")
    doctor.add_argument("--max-tokens", type=int, default=2048, help="of each answer (default %(default)s)")
    doctor.add_argument("--prompt-price", type=float, default=0.0, help="per million tokens (default %(default)g)")
    doctor.add_argument("--completion-price", type=float, default=0.0, help="per million tokens (default %(default)g)")
    doctor.add_argument("--json", action="store_true", help="print JSON")

    judges = add_command(commands, "judges", "list the released judges that are known by name")
    judges.add_argument("names", nargs="*", metavar="NAME", help="all that is known about these")
    judges.add_argument("--json", action="store_true", help="print JSON")

    parse = add_command(commands, "parse", "read judgements that a model has written")
    parse.add_argument("files", nargs="*", metavar="FILE", help="texts; standard input where none is named")
    parse.add_argument("--task", choices=[*map(str, Task)], required=True)
    parse.add_argument(
        "--dialect",
        help="what the judge was asked in (default: with think or answer tags a chain of thought, without them a bare verdict)",
    )
    parse.add_argument("--json", action="store_true", help="print JSON")
    add_bench(commands, add_judge=partial(add_judge, is_needed=True))
    return parser


def add_command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.set_defaults(run=lazily(f"commands.{name}", name))
    return command


def add_request(command: argparse.ArgumentParser, *candidates: str) -> None:
    group = command.add_argument_group("one request")
    group.add_argument("--task", choices=[*map(str, Task)])
    group.add_argument("--text", help="the caption, or the question")
    for name in candidates:
        group.add_argument(
            f"--{name}", nargs="+", metavar="FILE", help="image, video or its frames, or an answer's text"
        )
    group.add_argument(
        "--media", nargs="+", metavar="FILE", help="what the question is about, or the source of both edits"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.add_argument(
        "--dry-run", action="store_true", help="show the first prompt and the number of calls, ask nothing"
    )


def add_batch(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("a file of requests")
    group.add_argument("--input", metavar="FILE", help="JSONL, Parquet, or a folder of shards (needs urt-data)")
    group.add_argument("--output", metavar="FILE", help="JSONL that grows line by line; the same command continues it")
    group.add_argument(
        "--max-failures",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="of requests without a result; above it the exit code is 3 (default %(default)s)",
    )
    group.add_argument("--no-cache", action="store_true", help="no cache of paid answers beside the output")


def add_pairwise(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("pairs")
    group.add_argument(
        "--dialect",
        help="v1, v2, direct, general, edit_pair, flex, pair_score, or package.module:name of a contract of your own; default: as in judge.json, where --model is a folder with one",
    )
    group.add_argument(
        "--orders",
        choices=("both", "given"),
        default="both",
        help="show each pair as it is given, or the other way round as well (default %(default)s)",
    )
    group.add_argument(
        "--probability",
        choices=[*map(str, ProbabilityMethod)],
        default="votes",
        help="of the first: the share of votes, or from the stated totals, or the log-prob of the verdict (default %(default)s)",
    )
    group.add_argument("--calibration", metavar="FILE", help="a map written by urt_core.calibration")
    group.add_argument(
        "--mode",
        choices=("reason", "instant", "auto"),
        default="reason",
        help="with reasoning, for the verdict alone, or with reasoning where the calibrated probability lies between --bounds "
        "(default %(default)s)",
    )
    group.add_argument(
        "--bounds",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(0.1, 0.9),
        help="of --mode auto (default 0.1 0.9)",
    )


def add_judge(command: argparse.ArgumentParser, *, is_needed: bool) -> None:
    group = command.add_argument_group("the judge")
    which = group.add_mutually_exclusive_group(required=is_needed)
    which.add_argument("--model", help="a folder or hub id; with --base-url its name there")
    which.add_argument(
        "--judge",
        dest="model",
        type=lambda name: need_released(name).name,
        metavar="NAME",
        help="a released judge, with its contract and limits (`urt judges` lists them)",
    )
    group.add_argument("--engine", choices=ENGINE_KINDS, help="without --base-url (default: transformers)")
    group.add_argument(
        "--vllm-servers",
        action="extend",
        nargs="+",
        default=[],
        metavar="ADDRESS",
        help="of --engine vllm_server: http://gpu-1:8000 http://gpu-2:8000 ..., which share the work; one that fails is left "
        "out until it is healthy",
    )
    group.add_argument(
        "--engine-option",
        action="append",
        default=[],
        type=named_value,
        metavar="NAME=VALUE",
        help="of vllm.LLM, as often as needed, such as max_model_len=8192, tensor_parallel_size=2, "
        "gpu_memory_utilization=0.5, dtype=bfloat16; of transformers, dtype alone; of an endpoint, what changes its profile: "
        "accepted_models=NAME, max_tokens_name=max_completion_tokens, leave_out=temperature,top_p, "
        "extra_body='{\"top_k\": 1}'",
    )
    add_endpoint(group)
    group.add_argument("--device", help="for transformers (default: cuda where there is one)")
    group.add_argument("--batch-size", type=int, default=64, help="completions computed together (default %(default)s)")
    group.add_argument(
        "--concurrency",
        type=int,
        default=16,
        help="requests in flight at an endpoint, or at each of --vllm-servers (default %(default)s)",
    )
    group.add_argument("--templates", metavar="FOLDER", help="prompt wording of your own")
    group.add_argument("--min-pixels", type=int, help="of each image or frame (default: as in judge.json)")
    group.add_argument("--max-pixels", type=int, help="of each image or frame (default: as in judge.json)")
    group.add_argument("--num-frames", type=int, help="of each video (default: as in judge.json)")
    group.add_argument("--allow-downloads", action="store_true", help="read http(s) addresses (public ones only)")

    group = command.add_argument_group("sampling")
    group.add_argument("--votes", type=int, default=1, help="judgements per order (default %(default)s)")
    group.add_argument("--temperature", type=float, help="default 0, or 0.7 with several votes")
    group.add_argument("--top-p", type=float, default=1.0, help="default %(default)s")
    group.add_argument("--max-tokens", type=int, help="of a judgement (default: as in judge.json, or 1024)")
    group.add_argument("--seed", type=int, help="of the sampling (default: none)")

    group = command.add_argument_group("budget at an endpoint")
    group.add_argument("--budget-tokens", type=int, help="of prompts and completions; nothing more is asked then")
    group.add_argument("--budget-cost", type=float, help="the same as money, in the currency of the prices")
    group.add_argument("--prompt-price", type=float, default=0.0, help="per million tokens (default %(default)g)")
    group.add_argument("--completion-price", type=float, default=0.0, help="per million tokens (default %(default)g)")


def add_endpoint(group: Any) -> None:
    """How an endpoint is reached and asked; `urt doctor` finds out."""
    group.add_argument("--base-url", help="an OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    group.add_argument(
        "--profile",
        default=os.environ.get("URT_PROFILE") or None,
        metavar="NAME",
        help="what kind of endpoint it is: openai (the default), openai-reasoning, azure, anthropic, gemini, litellm, llama.cpp, "
        "ollama, openrouter, sglang, vllm, vllm-reasoning, or a YAML file; `urt doctor` says which fits (URT_PROFILE)",
    )
    group.add_argument(
        "--image-format",
        default=os.environ.get("URT_IMAGE_FORMAT") or "png",
        metavar="FORMAT",
        help="of pictures that are sent: png (exact), jpeg (quality 95) or jpeg-85, any quality (default %(default)s)",
    )
    group.add_argument(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="the variable with the key (default %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=180.0,
        metavar="S",
        help="seconds per attempt at an endpoint (default %(default)g)",
    )


def named_value(text: str) -> tuple[str, Any]:
    """
    >>> named_value("tensor_parallel_size=2"), named_value("dtype=bfloat16"), named_value('extra_body={"top_k": 1}')
    (('tensor_parallel_size', 2), ('dtype', 'bfloat16'), ('extra_body', {'top_k': 1}))
    """
    name, is_given, value = text.partition("=")
    if not is_given or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as max_model_len=8192")
    for read in (json.loads, ast.literal_eval):  # true and null, and True and None
        try:
            return name, read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return name, value  # a word


def add_server(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the server")
    group.add_argument("--host", default="127.0.0.1", help="anything but loopback needs a token (default %(default)s)")
    group.add_argument("--port", type=int, default=8090, help="default %(default)s")
    group.add_argument(
        "--token-env",
        default="URT_TOKEN",
        metavar="NAME",
        help="the variable with the bearer token (default %(default)s)",
    )
    group.add_argument("--max-body-mb", type=float, default=64.0, help="MiB of one request (default %(default)g)")
    group.add_argument(
        "--max-bodies-mb",
        type=float,
        default=1024.0,
        help="of all requests together, waiting groups included (default %(default)g)",
    )
    group.add_argument("--max-requests", type=int, default=64, help="requests judged at a time (default %(default)s)")
    group.add_argument("--max-queue", type=int, default=256, help="requests that may wait (default %(default)s)")
    group.add_argument(
        "--max-candidates", type=int, default=64, help="in one ranking, /compute request or group (default %(default)s)"
    )
    group.add_argument(
        "--max-connections", type=int, default=4096, help="open at a time; the silent make room (default %(default)s)"
    )
    group.add_argument(
        "--max-connections-per-address",
        type=int,
        default=2048,
        metavar="N",
        help="the same of one client (default %(default)s)",
    )
    group.add_argument(
        "--max-prompt-tokens",
        type=int,
        default=16384,
        metavar="N",
        help="of text; without --base-url (default %(default)s)",
    )
    group.add_argument(
        "--answer-timeout",
        type=float,
        default=1800.0,
        metavar="S",
        help="seconds for a request, waiting included (default %(default)g)",
    )
    group.add_argument(
        "--group-timeout",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds for a group to come in (default %(default)g)",
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="one more name that a Host header may hold where there is no token",
    )
    group.add_argument(
        "--references", metavar="FILE", help="JSON lines: what a sample that stands alone is compared with"
    )
    group.add_argument(
        "--reward",
        choices=("win_rate", "score"),
        default="win_rate",
        help="what /compute returns (default %(default)s)",
    )
    group.add_argument("--contract", default="think", help="of scores (default %(default)s)")
    group.add_argument(
        "--on-failure",
        choices=("nan", "raise", "drop", "tie"),
        default="nan",
        help="what /compute returns for a sample that could not be judged (default %(default)s)",
    )
