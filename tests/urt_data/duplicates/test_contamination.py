"""Copies of evaluation images and captions are found after recompression and scaling; plain images accuse nobody."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.urt_data.conftest import image_record, write
from urt_core.records import Media, MediaKind, PreferenceRecord, Task
from urt_data import ShardFolder
from urt_data.cli import main
from urt_data.duplicates.contamination import EvaluationIndex, MatchReason
from urt_data.duplicates.fingerprints import content_digest, normalised_text, perceptual_hash
from urt_data.errors import ConfigError


def scene(seed: int, *, size: int = 96) -> Image.Image:
    """Coloured blobs: structure at the scale that a perceptual hash looks at."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return blobs.resize((size, size), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "png", **settings) -> Media:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return Media(kind=MediaKind.IMAGE, files=(f"x.{'jpg' if kind == 'jpeg' else kind}",), data=(buffer.getvalue(),))


def pair(key: str, first: Media, second: Media, text: str = "a scene") -> PreferenceRecord:
    return PreferenceRecord(key=key, task=Task.IMAGE_GENERATION, text=text, first=first, second=second)


@pytest.fixture
def evaluation(tmp_path) -> ShardFolder:
    return write(
        tmp_path / "bench",
        [
            pair(f"bench-{n}", encode(scene(2 * n)), encode(scene(2 * n + 1)), f"The red car {n} left of a dog!")
            for n in range(20)
        ],
    )


def test_copies_are_found_after_recompression_and_scaling(tmp_path, evaluation):
    copies = [
        pair("jpeg", encode(scene(100)), encode(scene(6).convert("RGB"), "jpeg", quality=60)),
        pair("half", encode(scene(9).resize((48, 48), Image.Resampling.BICUBIC)), encode(scene(101))),
        pair("webp", encode(scene(12), "webp", quality=70), encode(scene(102))),
    ]
    fresh = [pair(f"fresh-{n}", encode(scene(200 + 2 * n)), encode(scene(201 + 2 * n))) for n in range(30)]
    report = EvaluationIndex([evaluation]).check(write(tmp_path / "train", copies + fresh))
    assert {(match.key, match.evaluation_key) for match in report.matches} == {
        ("jpeg", "bench-3"),
        ("half", "bench-4"),
        ("webp", "bench-6"),
    }
    assert all(match.reason is MatchReason.IMAGE and match.distance <= 14 for match in report.matches)


def test_captions_match_whatever_their_spelling(tmp_path, evaluation):
    train = write(
        tmp_path / "train",
        [
            pair("same", encode(scene(300)), encode(scene(301)), "the red CAR 7, left of a dog"),
            pair("short", encode(scene(302)), encode(scene(303)), "a scene"),
        ],
    )
    report = EvaluationIndex([evaluation]).check(train)
    assert [(match.key, match.evaluation_key, match.reason) for match in report.matches] == [
        ("same", "bench-7", MatchReason.TEXT)
    ]
    assert EvaluationIndex([evaluation], texts=False).check(train).matches == []


def test_plain_images_accuse_nobody(tmp_path):
    plain = encode(Image.new("RGB", (64, 64), "white"))
    bench = write(tmp_path / "bench", [pair("plain", plain, plain)])
    assert EvaluationIndex([bench]).check(write(tmp_path / "train", [pair("white", plain, plain)])).matches == []


ENCODINGS = {
    "jpeg": lambda image: encode(image, "jpeg", quality=50),
    "half": lambda image: encode(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)),
    "grown": lambda image: encode(image.resize((240, 240), Image.Resampling.BICUBIC), "jpeg", quality=70),
    "mirror": lambda image: encode(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}
CUTS = {
    "right": (0, 0, 0.1, 0),
    "top": (0, 0.1, 0, 0),
    "corner": (0.1, 0.1, 0, 0),
    "around": (0.05, 0.05, 0.05, 0.05),
    "area": (0.026, 0.026, 0.026, 0.026),
    "each side": (0.1, 0.1, 0.1, 0.1),
    "uneven": (0.03, 0.08, 0.02, 0.07),
}


def cropped(image: Image.Image, cut: tuple[float, ...]) -> Media:
    width, height = image.size
    left, above, right, below = cut
    box = (round(width * left), round(height * above), round(width * (1 - right)), round(height * (1 - below)))
    return encode(image.crop(box), "jpeg", quality=60)


def test_planted_copies_are_found_and_nobody_else(tmp_path):
    """Every way to change a picture, of every picture; the pictures that are nobody's copy are as many."""
    bench = write(
        tmp_path / "bench",
        [pair(f"bench-{n}", encode(scene(2 * n, size=200)), encode(scene(2 * n + 1, size=200))) for n in range(10)],
    )
    changes = {
        **ENCODINGS,
        **{name: lambda image, cut=cut: cropped(image, cut) for name, cut in CUTS.items()},
    }
    planted = [
        pair(f"{name.replace(' ', '-')}-{n}", encode(scene(1000 + n)), change(scene(2 * n, size=200)))
        for n in range(10)
        for name, change in changes.items()
    ]
    fresh = [pair(f"fresh-{n}", encode(scene(2000 + 2 * n)), encode(scene(2001 + 2 * n))) for n in range(110)]
    report = EvaluationIndex([bench]).check(write(tmp_path / "train", planted + fresh))
    expected = {(record.key, f"bench-{record.key.rpartition('-')[2]}") for record in planted}
    assert {(match.key, match.evaluation_key) for match in report.matches} == expected
    corner = next(match for match in report.matches if match.key == "corner-3")
    assert corner.equal.startswith("its second is a copy of first there (similarity 0.9")
    assert "cropped by up to 1" in corner.equal
    assert report.reasons == {f"{bench.folder}: image": len(planted)}


def question(key: str, seed: int, text: str, first: str, second: str) -> PreferenceRecord:
    return PreferenceRecord(
        key=key,
        task=Task.IMAGE_UNDERSTANDING,
        text=text,
        first=first,
        second=second,
        media=encode(scene(seed)),
    )


def test_a_common_question_accuses_nobody(tmp_path):
    """Of 60 own photos half have the question of the benchmark; another shares question and closed answers."""
    common = "Describe this image in detail."
    bench = write(
        tmp_path / "bench",
        [
            question("bench-0", 0, common, "Squares in eight rows.", "A dog on a beach."),
            question("bench-1", 1, "How many squares are there in each row?", "Eight.", "Nine."),
            question("bench-2", 2, "Is there a dog in the picture?", "Yes.", "No."),
        ],
    )
    own = [
        question(
            f"own-{n}", 100 + n, common if n % 2 else f"What is at place {n} of the shelf?", f"Thing {n}.", "None."
        )
        for n in range(60)
    ]
    train = [
        *own,
        question("closed", 200, "Is there a dog in the picture?", "No", "Yes"),
        question("picture", 0, common, "A grid of colours.", "A car."),
        question("answers", 201, "how many squares are there in each row", "nine", "Eight!"),
        question("one-answer", 202, "How many squares are there in each row?", "Eight.", "Seven."),
    ]
    report = EvaluationIndex([bench]).check(write(tmp_path / "train", train))
    assert {(match.key, match.reason) for match in report.matches} == {
        ("picture", MatchReason.IMAGE),
        ("answers", MatchReason.ANSWERS),
    }
    (answers,) = [match for match in report.matches if match.reason is MatchReason.ANSWERS]
    assert answers.equal == "'how many squares are there in each row' and both answers"


def test_a_caption_is_no_question(tmp_path, evaluation):
    text = "The red car 3 left of a dog"
    train = write(tmp_path / "train", [question("asked", 900, text, "It is one.", "It is not.")])
    assert EvaluationIndex([evaluation]).check(train).matches == []


def test_unreadable_media_are_counted(tmp_path, evaluation):
    broken = Media(kind=MediaKind.IMAGE, files=("x.png",), data=(b"broken",))
    train = write(tmp_path / "train", [pair("broken", broken, broken, "The red car 3 left of a dog")])
    report = EvaluationIndex([evaluation]).check(train)
    assert (report.num_unreadable, report.keys) == (1, {"broken"})


def test_perceptual_hash_is_what_its_definition_says():
    """Against scipy's transform, in float64."""
    scipy = pytest.importorskip("scipy.fft", reason="scipy is not installed")
    image = scene(5, size=64)
    grey = np.asarray(image.convert("L"), dtype=np.float64).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    frequencies = scipy.dctn(np.round(grey), norm="ortho")[:8, :8].ravel()[1:]
    # The orthonormal transform scales the first row and column; the hash takes them unscaled.
    scale = np.where(np.arange(8) == 0, np.sqrt(2), 1)
    frequencies *= np.outer(scale, scale).ravel()[1:]
    expected = int("".join("01"[int(value > np.median(frequencies))] for value in frequencies), 2)
    assert (perceptual_hash(image) ^ expected).bit_count() <= 1  # Pillow rounds each cell to a whole grey value
    assert perceptual_hash(Image.new("RGB", (50, 40), "teal")) == 0


def test_digests_ignore_the_order_of_the_candidates():
    record = image_record(0)
    assert content_digest(record) == content_digest(replace(record.swap(), key="other", metadata={}))
    assert content_digest(record) != content_digest(replace(record, text="another"))
    assert normalised_text("  \uff21  Red—car!") == normalised_text("a red CAR")


def test_distance_is_bounded():
    with pytest.raises(ConfigError, match="max_distance is 20"):
        EvaluationIndex([], max_distance=20)


def test_decontaminate_command(tmp_path, evaluation, capsys):
    train = write(
        tmp_path / "train",
        [pair("copy", encode(scene(6)), encode(scene(400))), pair("fresh", encode(scene(401)), encode(scene(402)))],
    )
    command = ["decontaminate", train.folder, "--against", evaluation.folder]
    assert main([*command, "--report", str(tmp_path / "matches.jsonl")]) == 1
    assert "1 of 2 records match" in capsys.readouterr().out
    assert [json.loads(line)["evaluation_key"] for line in (tmp_path / "matches.jsonl").read_text().splitlines()] == [
        "bench-3"
    ]
    assert main([*command, "--output", str(tmp_path / "clean")]) == 0
    clean = ShardFolder(tmp_path / "clean")
    assert [record.key for record in clean] == ["fresh"]
    assert clean.metadata["contamination"]["removed"] == 1
