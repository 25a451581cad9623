"""LLaVA-OneVision: as many image tokens as the model makes features, and completions with the log-probs of a plain
forward pass."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.llava_onevision import PINPOINTS, TILE, make_config, make_llava_onevision, make_model, make_tokenizer
from urt_core import Dialect, Scorer, Task
from urt_core.engines import SamplingParams
from urt_core.engines.image_slots import LlavaOnevisionSlots
from urt_core.engines.transformers import TransformersEngine, encode_prompts
from urt_core.errors import EngineError, PromptError
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind

POLICY = MediaPolicy(min_pixels=16 * 16, max_pixels=80 * 80, num_frames=3)
SAMPLED = SamplingParams(temperature=0.8, max_tokens=12, seed=7, num_completions=3, logprobs=True)
SIZES = [(32, 32), (512, 512), (33, 32), (100, 20), (17, 130), (64, 96), (7, 300), (97, 61)]


def picture(size, seed=0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def png(size, seed=0) -> bytes:
    buffer = io.BytesIO()
    picture(size, seed).save(buffer, "PNG")
    return buffer.getvalue()


def image(size, seed=0) -> Media:
    return Media(kind=MediaKind.IMAGE, files=("image.png",), data=(png(size, seed),))


def video(*sizes) -> Media:
    frames = tuple(png(size, seed) for seed, size in enumerate(sizes))
    return Media(kind=MediaKind.VIDEO, files=tuple(f"f{i}.png" for i in range(len(sizes))), data=frames)


PROMPTS = [
    Prompt(parts=("Image 1:", image((32, 48)), "Image 2:", image((80, 40), 1), "which is better?")),
    Prompt(parts=("say something",)),
    Prompt(parts=("Question:", image((70, 30), 2), "how many dogs are there? Answer 1: two. Answer 2: three.")),
    Prompt(parts=("Video 1:", video((32, 32), (32, 32)), "Video 2:", video((40, 24), (40, 24), (40, 24)), "which?")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_llava_onevision(tmp_path_factory.mktemp("llava_onevision"))


@pytest.fixture(scope="module")
def engine(folder) -> TransformersEngine:
    return TransformersEngine.from_pretrained(folder, policy=POLICY, device="cpu")


def encode(engine, prompts):
    return encode_prompts(engine.tokenizer, engine.image_processor, prompts, policy=POLICY, slots=engine.slots)


@pytest.mark.parametrize("thinned_to", [9, 2])
def test_an_image_has_as_many_tokens_as_the_model_makes_features(engine, thinned_to):
    """Alone, in company, and so large that `anyres_max` thins its features; image by image, not only in sum."""
    model = make_model(make_tokenizer(), vision_aspect_ratio=f"anyres_max_{thinned_to}")
    images = [[picture(size)] for size in SIZES] + [[picture(size) for size in SIZES[3:6]], [], [picture((50, 50))]]
    tensors, num_tokens = LlavaOnevisionSlots(model.config).encode(engine.image_processor, images, policy=POLICY)
    with torch.no_grad():
        features = model.model.get_image_features(**tensors).pooler_output
    assert num_tokens == [len(of_image) for of_image in features]
    assert num_tokens[len(SIZES) : len(SIZES) + 3] == [17] * 3, "4 x 4 features and a newline each"
    assert len(set(num_tokens)) > 4


def test_numbers_of_the_published_model():
    """384-pixel tiles of 27 x 27 features; 512 x 512 alone: a whole view and 2 x 2 tiles with a newline behind each
    row."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionProcessor
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    slots, image_processor = LlavaOnevisionSlots(LlavaOnevisionConfig()), LlavaOnevisionImageProcessorPil()
    square, wide = Image.new("RGB", (512, 512)), Image.new("RGB", (627, 418))
    _, num_tokens = slots.encode(image_processor, [[square], [square, wide], [wide]], policy=POLICY)
    assert num_tokens[:3] == [27 * 27 + 54 * 54 + 54, 27 * 27 + 1, 27 * 27 + 1]
    processor = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)  # which to make whole needs torchvision
    processor.image_processor, processor.num_image_tokens = image_processor, 27 * 27
    processor.vision_aspect_ratio = "anyres_max_9"
    assert num_tokens[3] == processor._get_number_of_features(418, 627, 384, 384)


def test_pixels_are_those_of_the_processor_for_each_prompt(engine):
    """In company an image is padded to a square and takes one tile; alone it is seen whole and in tiles. Limits are met
    before."""
    batch = encode(engine, PROMPTS)
    assert batch["batch_num_images"].tolist() == [2, 0, 1, 5]
    assert batch["image_sizes"].tolist()[:3] == [[48, 32], [40, 80], [30, 70]]
    assert batch["pixel_values"].shape[1:] == (1 + 3, 3, TILE, TILE), "70 x 30 in 1 x 3 tiles"
    in_company = [picture((32, 48)), picture((80, 40), 1)]
    expected = engine.image_processor(images=[in_company], return_tensors="pt")["pixel_values"]
    assert torch.equal(batch["pixel_values"][:2, :1], expected)
    assert not batch["pixel_values"][:2, 1:].any()
    [limited] = encode(engine, [Prompt(parts=(image((300, 200)), "too large"))])["image_sizes"].tolist()
    assert limited == [65, 97], "6400 pixels at 3:2"


@pytest.mark.parametrize("batch_size", [1, 64])
def test_logprobs_equal_a_full_forward(engine, folder, batch_size):
    sampling = TransformersEngine.from_pretrained(folder, policy=POLICY, batch_size=batch_size, device="cpu")
    for prompt, group in zip(PROMPTS, sampling.generate(PROMPTS, SAMPLED), strict=True):
        prompted = encode(engine, [prompt])
        length = prompted["input_ids"].shape[1]
        for completion in group:
            completed = torch.tensor([completion.token_ids])
            ids = torch.cat([prompted["input_ids"], completed], dim=1)
            images = {
                name: prompted[name] for name in ("pixel_values", "image_sizes", "batch_num_images") if name in prompted
            }
            with torch.no_grad():
                logits = engine.module(input_ids=ids, **images).logits[0, length - 1 : -1] / 0.8
            expected = logits.log_softmax(-1).gather(-1, completed[0, :, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5, rtol=0)


def test_media_and_role_tokens_are_never_sampled(engine):
    tokens = ("<|im_start|>", "<image>", "<video>", "<|endoftext|>")
    assert {engine.tokenizer.convert_tokens_to_ids(token) for token in tokens} <= engine.forbidden_token_ids
    assert engine.eos_token_ids == {engine.tokenizer.convert_tokens_to_ids("<|im_end|>")}
    vocabulary = engine.module.config.text_config.vocab_size
    assert set(range(len(engine.tokenizer), vocabulary)) <= engine.forbidden_token_ids, "rows that no token owns"


def test_a_template_with_a_slot_too_few_is_refused(engine):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ messages[0].role }}<image>"
    prompt = Prompt(parts=(image((32, 32)), image((32, 32)), "which?"), key="pair-2")
    with pytest.raises(PromptError, match=r"'pair-2' has 1 image slots <image> for 2 images or frames"):
        encode_prompts(tokenizer, engine.image_processor, [prompt], policy=POLICY, slots=engine.slots)


def test_a_processor_with_other_tiles_than_the_model_is_refused(engine):
    config = make_config(engine.tokenizer)
    config.image_grid_pinpoints = PINPOINTS[:3]
    with pytest.raises(EngineError, match=r"image_grid_pinpoints of the image processor are not those of the model"):
        LlavaOnevisionSlots(config).encode(engine.image_processor, [[picture((32, 32))]], policy=POLICY)


def test_a_scorer_opens_the_folder(folder):
    scorer = Scorer.from_pretrained(folder, dialect=Dialect.V1, sampling=SamplingParams(max_tokens=4))
    comparison = scorer.compare(task=Task.IMAGE_GENERATION, text="a cat", first=png((40, 40)), second=png((60, 30), 1))
    assert [vote.completion.finish_reason for vote in comparison.votes] == ["length"] * 2
