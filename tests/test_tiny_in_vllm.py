"""The embedded base is an ordinary Qwen3-VL folder: the real vLLM engine opens it and gives the log-probs that
transformers gives."""

import importlib.util
import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from urt_core import Media, MediaKind, Prompt, SamplingParams
from urt_core.engines.transformers import TransformersEngine
from urt_core.media import MediaPolicy

TINY = Path(__file__).parents[1] / "packages/urt-train/src/urt_train/model/tiny"
NUM_TOKENS = 16

IN_VLLM = """
import json, sys
from PIL import Image
from vllm import LLM, SamplingParams

folder, text, *images = sys.argv[1:]
llm = LLM(model=folder, dtype="float32", max_model_len=512, max_num_seqs=1, seed=0, enforce_eager=True,
          logprobs_mode="processed_logprobs", limit_mm_per_prompt={"image": 2, "video": 0})
prompt = {"prompt": text, "multi_modal_data": {"image": [Image.open(path) for path in images]}}
[request] = llm.generate([prompt], SamplingParams(temperature=0.0, max_tokens=NUM_TOKENS, logprobs=0, ignore_eos=True), use_tqdm=False)
[completion] = request.outputs
logprobs = [step[token].logprob for token, step in zip(completion.token_ids, completion.logprobs)]
print(json.dumps({"token_ids": list(completion.token_ids), "logprobs": logprobs}))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")
def test_vllm_and_transformers_agree_on_tokens_and_logprobs(tmp_path: Path) -> None:
    images = {
        "red.png": Image.new("RGB", (64, 48), (200, 30, 30)),
        "ramp.png": Image.linear_gradient("L").resize((64, 48)),
    }
    parts: list[str | Media] = []
    for number, (name, image) in enumerate(images.items(), start=1):
        encoded = BytesIO()
        image.convert("RGB").save(encoded, "PNG")
        (tmp_path / name).write_bytes(encoded.getvalue())
        parts += [f"Image {number}:", Media(kind=MediaKind.IMAGE, files=(name,), data=(encoded.getvalue(),))]
    prompt = Prompt(parts=(*parts, "Describe both images."))
    policy = MediaPolicy(
        min_pixels=64 * 48, max_pixels=64 * 48, num_frames=1
    )  # nothing to resize: both see the same pixels

    engine = TransformersEngine.from_pretrained(str(TINY), policy=policy, batch_size=1)
    [[expected]] = engine.generate([prompt], SamplingParams(max_tokens=NUM_TOKENS, logprobs=True))

    slots = "<|vision_start|><|image_pad|><|vision_end|>"
    text = f"<|im_start|>user\nImage 1:{slots}Image 2:{slots}Describe both images.<|im_end|>\n<|im_start|>assistant\n"
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_VLLM.replace("NUM_TOKENS", str(NUM_TOKENS)), TINY, text]
        + [tmp_path / name for name in images],
        env=os.environ
        | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    found = json.loads(completed.stdout.splitlines()[-1])

    length = len(expected.token_ids)
    assert found["token_ids"][:length] == list(expected.token_ids)
    # vLLM's CPU attention and matrix products sum in another order than torch's; 3e-3 was measured on models of this
    # size.
    assert found["logprobs"][:length] == pytest.approx(expected.logprobs, abs=3e-3)
