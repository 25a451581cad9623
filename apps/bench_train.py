"""Time a step of GRPO by phase, in each layout and in TRL: python apps/bench_train.py [device=cpu] [pixels=128]
[group_size=8] ...

    python apps/bench_train.py                                       tiny model, CPU, two images of 128, 256 and 512 pixels
    python apps/bench_train.py pixels=384 group_size=16              one setting
    python apps/bench_train.py device=cuda model=qwen3_vl_2b         one GPU, two images of 384, 512 and 1024 pixels, G = 4, 8, 16
    python apps/bench_train.py device=cuda model=qwen3_vl_2b peak_tflops=989     adds model FLOP utilisation
    python apps/bench_train.py prompts=4 ragged=true                 four groups, texts and completions of different lengths
    python apps/bench_train.py generate=false                        the update phase alone

One row per contender: seconds by phase (medians of interleaved runs; on a CPU seconds of computing, so that other work
beside it does not count), how much longer its update phase (log-prob passes, loss, backward pass, step) takes than the
shared prefix's, completion tokens and groups that pass through all measured phases in a second, the memory that the
update phase adds at its peak, and how far log-probs are from the padded layout's. With CUDA the shared prefix runs
through FlexAttention too. Installs nothing; a peer that is missing is named. Not here: handing weights to an engine
(`time/hand_over` in the metrics of a run with engine=vllm).
"""

from copy import deepcopy
from typing import Any

import torch

from benchmarks.program import run_script
from benchmarks.training.model import SIZES, model_flops, random_model
from benchmarks.training.ours import OurStep
from benchmarks.training.rollout import Pictures, Setting, make_rollout, share_of_padding
from benchmarks.training.timing import Step, Timing, time_interleaved
from urt_data.prepare import parse_values
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
    "generate": True,
    "trl": True,
    "peak_tflops": 0,
    "threads": 0,
}
COLUMNS = (
    "pixels", "G", "layout", "data s", "generate s", "log-probs s", "update s", "update phase, x shared",
    "tokens/s", "groups/s", "MB added", "log-probs off by", "padding", "MFU",
)  # fmt: skip
NOT_MEASURED = "not measured"


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
    peer = open_trl() if settings["trl"] else "trl=false"
    print(f"{settings['model']} on {settings['device']}, {sum(p.numel() for p in model.parameters()):,} parameters")
    if isinstance(peer, str):
        print(f"without TRL: {peer}")
    print("| " + " | ".join(COLUMNS) + " |\n|" + " ---: |" * len(COLUMNS))
    # Lengths that were drawn are not what sampling to a fixed length would cost.
    phases = ["data", "generate"] if settings["generate"] and not settings["ragged"] else ["data"]
    for setting in all_settings(settings, is_cpu=is_cpu):
        rollout = make_rollout(model, setting).to(torch.device(settings["device"]))
        pictures = Pictures(model, setting)
        steps: dict[str, Step] = {
            str(batching): OurStep(model, reference, rollout, pictures, batching=batching) for batching in Batching
        }
        if not is_cpu:
            steps["shared_prefix, flex"] = OurStep(
                model, reference, rollout, pictures, batching=Batching.shared_prefix, attention="flex"
            )
        if not isinstance(peer, str):
            from benchmarks.training.trl import TRLStep

            steps["TRL"] = TRLStep(peer, model, reference, rollout, pictures)
        timings = time_interleaved(steps, phases=phases, repeats=settings["repeats"], device=settings["device"])
        padding = share_of_padding(rollout)
        for name in timings:
            flops = model_flops(model, setting, is_shared=name.startswith(Batching.shared_prefix))
            peak = 0.0 if setting.ragged else settings["peak_tflops"] * 1e12
            num_tokens = int(rollout.completion_mask.sum())
            print(
                row(setting, name, timings, num_tokens=num_tokens, padding=padding, flops=flops, peak=peak), flush=True
            )


def all_settings(settings: dict[str, Any], *, is_cpu: bool) -> list[Setting]:
    sizes = [settings["pixels"]] if settings["pixels"] else ([128, 256, 512] if is_cpu else [384, 512, 1024])
    groups = [settings["group_size"]] if settings["group_size"] else ([8] if is_cpu else [4, 8, 16])
    return [
        Setting(
            pixels=pixels,
            group_size=group_size,
            text_tokens=settings["text"],
            completion_tokens=settings["completion"] or (128 if is_cpu else 450),
            num_prompts=settings["prompts"],
            ragged=settings["ragged"],
        )
        for pixels in sizes
        for group_size in groups
    ]


def row(
    setting: Setting,
    name: str,
    timings: dict[str, Timing],
    *,
    num_tokens: int,
    padding: float,
    flops: float,
    peak: float,
) -> str:
    timing, padded, shared = timings[name], timings[Batching.padded], timings[Batching.shared_prefix]
    inside = padded.outcome.logprobs != 0  # outside of the completions TRL has log-probs of the padding
    error = float((timing.outcome.logprobs - padded.outcome.logprobs)[inside].abs().max())
    whole = sum(timing.seconds.values())
    cells = [
        setting.pixels,
        setting.group_size,
        name,
        *(
            f"{timing.seconds[phase]:.3f}" if phase in timing.seconds else NOT_MEASURED
            for phase in ("data", "generate", "logprobs", "update")
        ),
        f"{timing.update_phase / shared.update_phase:.2f}",
        f"{num_tokens / whole:,.0f}",
        f"{setting.num_prompts / whole:.2f}",
        f"{timing.peak_bytes / 1e6:,.0f}",
        f"{error:.1e}",
        f"{padding:.0%}",
        f"{flops / timing.update_phase / peak:.1%}" if peak else NOT_MEASURED,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def open_trl() -> Any:
    """TRL's GRPOTrainer, or why there is none."""
    try:
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError as error:
        return f"{error}; pip install trl"
    return GRPOTrainer


if __name__ == "__main__":
    run_script(main, text=__doc__)
