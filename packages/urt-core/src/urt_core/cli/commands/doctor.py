"""`urt doctor`"""

import argparse
import asyncio
import json

from urt_core.cli.terminal import Style, styled, table, wrapped
from urt_core.engines.endpoint.doctor import Diagnosis, Doctor
from urt_core.engines.endpoint.transport import read_key
from urt_core.errors import ConfigError

MEANING = {
    "images": "pictures are seen",
    "logprobs": "log-probabilities (--probability logprob)",
    "n": "several completions a request (else one request each)",
    "seed": "the same seed gives the same text",
    "json": "JSON alone (response_format)",
}


def run_doctor(options: argparse.Namespace) -> int:
    """Exit code 3 where the judgement it asks for can't be read."""
    if not options.base_url:
        raise ConfigError("urt doctor needs --base-url, the endpoint to ask")
    doctor = Doctor(
        base_url=options.base_url,
        model=options.model,
        api_key=read_key(options.api_key_env),
        profile=options.profile,
        dialect=options.dialect,
        max_tokens=options.max_tokens,
        timeout_s=options.timeout,
    )
    found = asyncio.run(doctor.examine())
    cost = (
        found.usage.prompt_tokens * options.prompt_price + found.usage.completion_tokens * options.completion_price
    ) / 1e6
    if options.json:
        print(json.dumps(found.to_json() | {"cost": cost}, ensure_ascii=False, indent=2))
    else:
        print_diagnosis(found, options, cost=cost)
    return 0 if found.judgement == "ok" else 3


def print_diagnosis(found: Diagnosis, options: argparse.Namespace, *, cost: float) -> None:
    print(styled(f"profile {found.profile}", Style.BOLD), end="\n\n")
    rows = [["what", "works"], *([MEANING[name], "yes" if works else "no"] for name, works in found.works.items())]
    print(table(rows), end="\n\n")
    for name, said in found.refused.items():
        print(wrapped(f"{name} is refused: {said}"))
    usage = found.usage
    print(wrapped(f"one judgement of two pictures: {usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens"))
    if options.prompt_price or options.completion_price:
        print(wrapped(f"at these prices {cost:.5f}; a pair is judged in both orders, which is twice that"))
    readable = "it can be read" if found.judgement == "ok" else f"but not read ({found.judgement}: {found.detail})"
    print(
        wrapped(f"{found.num_requests} requests were sent; a judgement in dialect {options.dialect} came, {readable}")
    )
    settings = "".join(f" --engine-option {name}='{json.dumps(value)}'" for name, value in found.options.items())
    print(
        f"\nurt compare --base-url {options.base_url} --model {options.model} --profile {found.profile}{settings} ..."
    )
