"""Time the update phase of GRPO in each layout and in TRL: python apps/bench_train.py [device=cpu] [pixels=128] [group_size=8] ...

    python apps/bench_train.py                                       tiny model, CPU, two images of 128, 256 and 512 pixels
    python apps/bench_train.py device=cuda model=qwen3_vl_2b         one GPU, two images of 384, 512 and 1024 pixels
    python apps/bench_train.py device=cuda model=qwen3_vl_2b peak_tflops=989     adds model FLOP utilisation
    python apps/bench_train.py prompts=4 ragged=true                 four groups, texts and completions of different lengths

One line per setting: seconds of an update (median of interleaved runs; on a CPU seconds of computing, so that other work beside it
does not count), ratios, peak memory, and how far log-probs and loss are
from the padded layout's. With CUDA the shared prefix runs through FlexAttention too. Installs nothing; a peer that is missing is named.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch

from urt_core.errors import UrtError
from urt_data.prepare import parse_values
from urt_train.benchmark import (
    SIZES,
    Setting,
    Timing,
    make_rollout,
    model_flops,
    our_update,
    random_model,
    share_of_padding,
    time_interleaved,
)
from urt_train.config import Batching
from urt_train.errors import TrainError

DEFAULTS = {
    "device": "cpu",
    "model": "tiny",
    "pixels": 0,
    "group_size": 0,
    "text": 300,
    "completion": 0,
    "repeats": 3,
    "prompts": 1,
    "ragged": False,
    "trl": True,
    "peak_tflops": 0,
    "threads": 0,
}


def main(arguments: list[str]) -> None:
    given = parse_values(arguments)
    if unknown := given.keys() - DEFAULTS.keys():
        raise TrainError(f"there is no setting {', '.join(sorted(unknown))}; allowed: {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **given}
    if settings["model"] not in SIZES:
        raise TrainError(f"model is {settings['model']!r}; allowed: {', '.join(SIZES)}")
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    is_cpu = settings["device"] == "cpu"
    model = random_model(
        settings["model"], device=settings["device"], dtype=torch.float32 if is_cpu else torch.bfloat16
    )
    reference = deepcopy(model).requires_grad_(False).eval()
    peer = open_trl(model) if settings["trl"] else None
    names = [*map(str, Batching), *([] if is_cpu else ["flex"]), *(["trl"] if callable(peer) else [])]
    print(f"{settings['model']} on {settings['device']}, {sum(p.numel() for p in model.parameters()):,} parameters")
    if isinstance(peer, str):
        print(f"without TRL: {peer}")
    columns = [
        "pixels",
        "G",
        *(f"{name} s" for name in names),
        "faster than padded",
        "than TRL",
        "MB padded / shared",
        "error",
        "padding",
    ]
    print("| " + " | ".join([*columns, "MFU"]) + " |\n|" + " ---: |" * (len(columns) + 1))
    for pixels in [settings["pixels"]] if settings["pixels"] else ([128, 256, 512] if is_cpu else [384, 512, 1024]):
        for group_size in [settings["group_size"]] if settings["group_size"] else ([8] if is_cpu else [4, 8, 16]):
            setting = Setting(
                pixels=pixels,
                group_size=group_size,
                text_tokens=settings["text"],
                completion_tokens=settings["completion"] or (128 if is_cpu else 450),
                num_prompts=settings["prompts"],
                ragged=settings["ragged"],
            )
            rollout = make_rollout(model, setting).to(torch.device(settings["device"]))
            updates = {str(batching): our_update(model, reference, rollout, batching) for batching in Batching}
            if not is_cpu:
                updates["flex"] = our_update(model, reference, rollout, Batching.shared_prefix, attention="flex")
            if callable(peer):
                updates["trl"] = peer(reference, rollout)
            timings = time_interleaved(updates, repeats=settings["repeats"], device=settings["device"])
            padding = share_of_padding(rollout)
            print(row(model, setting, timings, padding=padding, peak_tflops=settings["peak_tflops"]), flush=True)


def row(model: Any, setting: Setting, timings: dict[str, Timing], *, padding: float, peak_tflops: int) -> str:
    padded, shared, trl = timings["padded"], timings["shared_prefix"], timings.get("trl")
    inside = padded.logprobs != 0  # outside of the completions TRL has log-probs of the padding
    error = max(float((timing.logprobs - padded.logprobs)[inside].abs().max()) for timing in timings.values())
    share = (
        model_flops(model, setting, Batching.shared_prefix) / shared.seconds / (peak_tflops * 1e12)
        if peak_tflops and not setting.ragged
        else None
    )
    cells = [
        str(setting.pixels),
        str(setting.group_size),
        *(f"{timing.seconds:.3f}" for timing in timings.values()),
        f"{padded.seconds / shared.seconds:.2f}x",
        f"{trl.seconds / shared.seconds:.2f}x" if trl else "not measured",
        f"{padded.peak_bytes / 1e6:,.0f} / {shared.peak_bytes / 1e6:,.0f}",
        f"{error:.1e}",
        f"{padding:.0%}",
        f"{share:.1%}" if share is not None else "not measured",
    ]
    return "| " + " | ".join(cells) + " |"


def open_trl(model: Any) -> Callable[..., Any] | str:
    """TRL's own GRPOTrainer around the same model, or why there is none."""
    try:
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError as error:
        return f"{error}; pip install trl"
    from urt_train.benchmark_trl import trl_update

    return lambda reference, rollout: trl_update(GRPOTrainer, model, reference, rollout)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UrtError as error:
        sys.exit(f"error: {error}")
