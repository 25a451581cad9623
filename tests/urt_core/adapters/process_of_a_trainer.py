"""One process of a trainer, started by test_processes.py: reads what it asks its reward from stdin, prints the rewards
as JSON.

The environment says which process it is, as torchrun's does.
"""

import asyncio
import base64
import io
import json
import os
import sys
import urllib.request
from typing import Any

import numpy as np

from urt_core.adapters.served import ServedJudge


def picture(shade: int) -> Any:
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = shade
    return image


def flow_grpo(asked: dict[str, Any]) -> list[list[float]]:
    """A call a step, with the pictures of this process's slice of the step."""
    from urt_core.adapters import flow_grpo as urt

    reward = urt.served(ServedJudge(asked["url"]), group_size=asked["group_size"])
    calls = (
        [np.stack([picture(shade) for _, shade in call]), [prompt for prompt, _ in call]] for call in asked["calls"]
    )
    return [reward(images, prompts, {})[0] for images, prompts in calls]


def flow_grpo_gathered(asked: dict[str, Any]) -> list[list[float]]:
    """The judge is in each process; a step's reward is asked from a pool of threads, two steps at a time, as flow_grpo does, while the main
    thread has collectives of its own."""
    import io
    from concurrent.futures import ThreadPoolExecutor

    import torch.distributed
    from PIL import Image

    from urt_core import Dialect, Scorer
    from urt_core.adapters import flow_grpo as urt
    from urt_core.engines.scripted import ScriptedEngine

    def judge(prompt: Any, index: int) -> str:
        first, second = (Image.open(io.BytesIO(medium.data[0])).tobytes()[0] for medium in prompt.media)
        return "Image 1 is better." if first > second else "Image 2 is better."

    join_group(asked)
    engine = ScriptedEngine(script=judge)
    reward = urt.win_rate(Scorer(engine=engine, dialect=Dialect.DIRECT))
    with ThreadPoolExecutor(max_workers=8) as pool:
        futures = []
        for call in asked["calls"]:
            images = np.stack([picture(shade) for _, shade in call])
            futures.append(pool.submit(reward, images, [prompt for prompt, _ in call], {}))
            torch.distributed.all_reduce(torch.ones(1))
        values = [future.result()[0] for future in futures]
    torch.distributed.destroy_process_group()
    return [*values, [len(engine.prompts)]]


def verl(asked: dict[str, Any]) -> list[list[float]]:
    """A call a sample, all of a step at a time."""
    from urt_core.adapters.verl import make_win_rate_score

    judge = ServedJudge(asked["url"], task="image_understanding", concurrency=64)
    compute_score = make_win_rate_score(judge, group_size=asked["group_size"])

    async def score(prompt: str, length: int) -> float:
        info = {"question": prompt, "media": picture(200), "index": prompt, "split": "train"}
        return (await compute_score("vqa", "x" * length, "", info))["score"]

    async def step(call: list[Any]) -> list[float]:
        return list(await asyncio.gather(*(score(prompt, length) for prompt, length in call)))

    return [asyncio.run(step(call)) for call in asked["calls"]]


def verl_omni(asked: dict[str, Any]) -> list[list[float]]:
    from urt_core.adapters.verl_omni import make_compute_score

    compute_score = make_compute_score(ServedJudge(asked["url"]), group_size=asked["group_size"])

    async def score(prompt: str, shade: int) -> float:
        info = {"prompt": prompt, "index": prompt}
        return (await compute_score("t2i", picture(shade), "", info))["score"]

    async def step(call: list[Any]) -> list[float]:
        return list(await asyncio.gather(*(score(prompt, shade) for prompt, shade in call)))

    return [asyncio.run(step(call)) for call in asked["calls"]]


def flow_factory(asked: dict[str, Any]) -> list[list[float]]:
    """Its remote groupwise client: whole groups, one a call."""
    judge = ServedJudge(asked["url"])
    values = []
    for call in asked["calls"]:
        rewards = judge.rewards(texts=[prompt for prompt, _ in call], candidates=[picture(shade) for _, shade in call])
        values.append([value if value is not None else -1.0 for value in rewards.values])
    return values


def nemo_gym(asked: dict[str, Any]) -> list[list[float]]:
    """`/compare`, once for all answers to a conversation."""
    pixel = "data:image/gif;base64,R0lGODdhAQABAPAAAP8AAAAAACwAAAAAAQABAAACAkQBADs="
    values = []
    for call in asked["calls"]:
        parts = [{"type": "input_image", "image_url": pixel}, {"type": "input_text", "text": call[0][0]}]
        answers = [{"output": [{"content": [{"type": "output_text", "text": "x" * length}]}]} for _, length in call]
        body = {"conversation_history": [{"role": "user", "content": parts}], "response_objs": answers}
        request = urllib.request.Request(
            f"{asked['url']}/compare", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            values.append(json.load(answer)["rewards"])
    return values


def unirl(asked: dict[str, Any]) -> list[list[float]]:
    """`/score`, a batch of different prompts a call."""
    values = []
    for call in asked["calls"]:
        requests = [
            {"history": [{"text": prompt, "image_b64": base64_png(shade)}], "required_rewards": ["unified_reward"]}
            for prompt, shade in call
        ]
        request = urllib.request.Request(
            f"{asked['url']}/score", json.dumps({"requests": requests}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert found["errors"] == [{}] * len(call)
        values.append([result["unified_reward"]["score"] for result in found["results"]])
    return values


def base64_png(shade: int) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture(shade)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def trl(asked: dict[str, Any]) -> list[list[float]]:
    """A call a step; the judge is in each process, and the processes meet by torch.distributed."""
    import torch.distributed

    from urt_core import Dialect, Scorer
    from urt_core.adapters.trl import make_reward_func
    from urt_core.engines.scripted import ScriptedEngine

    def judge(prompt: Any, index: int) -> str:
        lines = [line.split(":", 1)[1].strip() for line in prompt.text.split("\n") if line.startswith("Answer")]
        return "Answer 1 is better." if len(lines[0]) > len(lines[1]) else "Answer 2 is better."

    join_group(asked)
    engine = ScriptedEngine(script=judge)
    reward = make_reward_func(Scorer(engine=engine, dialect=Dialect.DIRECT), num_generations=asked["group_size"])
    values = []
    for call in asked["calls"]:
        prompts, answers = [prompt for prompt, _ in call], ["x" * length for _, length in call]
        values.append(reward(prompts, answers, question=prompts, image=[picture(200)] * len(call)))
    torch.distributed.destroy_process_group()
    return [*values, [len(engine.prompts)]]


def join_group(asked: dict[str, Any]) -> None:
    import torch.distributed

    rank, num_ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo", init_method=asked["meeting"], rank=rank, world_size=num_ranks)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    if asked.get("dies") and os.environ["RANK"] == "3":
        sys.exit(9)
    print(json.dumps(globals()[asked["trainer"]](asked)))
