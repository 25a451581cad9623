"""A reward that asks another judge, over HTTP, whether the reasoning keeps to a rubric.

RUBRIC_URL=http://localhost:8000/v1 RUBRIC_MODEL=judge \
    urt-train stage=grpo grpo.rewards.rubric_reward:follows_rubric=0.5
"""

import asyncio
import math
import os
import re
from collections.abc import Sequence

from openai import AsyncOpenAI, OpenAIError

from urt_core import Judgement
from urt_core.rewards import RewardInput

RUBRIC = """Read the judgement below and count how many of these hold:
1. It names something that can be seen in each candidate.
2. Each score has a reason.
3. The verdict follows from the scores.
Answer with the number alone: 0, 1, 2 or 3.

"""
NUM_CRITERIA = 3
AT_ONCE = 16


async def follows_rubric(samples: Sequence[RewardInput]) -> list[float]:
    """The share of the criteria that hold, for all completions of a rollout at once; NaN where the other judge can't
    say."""
    async with AsyncOpenAI(
        base_url=os.environ["RUBRIC_URL"], api_key=os.environ.get("RUBRIC_KEY", "none"), timeout=60.0
    ) as client:
        waiting = asyncio.Semaphore(AT_ONCE)

        async def one(sample: RewardInput) -> float:
            if not isinstance(sample.judgement, Judgement):
                return 0.0  # nothing to ask about
            async with waiting:
                return await asked(client, sample.text)

        return list(await asyncio.gather(*map(one, samples)))


async def asked(client: AsyncOpenAI, text: str) -> float:
    try:
        reply = await client.chat.completions.create(
            model=os.environ["RUBRIC_MODEL"],
            messages=[{"role": "user", "content": RUBRIC + text}],
            temperature=0.0,
            max_tokens=8,
        )
    except OpenAIError:
        return math.nan  # the completion is left out of its group; the run goes on
    found = re.search(rf"[0-{NUM_CRITERIA}]", reply.choices[0].message.content or "")
    return int(found[0]) / NUM_CRITERIA if found else math.nan
