"""What makes two records the same: swaps, other file names, other spellings, and pictures that only look alike."""

from dataclasses import replace

import numpy as np
from PIL import Image

from tests.urt_data.conftest import image_record
from urt_core import Preference
from urt_data.duplicates.fingerprints import content_digest, normalised_text, perceptual_hash, same_candidates, verdict


def test_a_swap_is_the_same_pair_with_the_same_verdict() -> None:
    for preference in (Preference.FIRST, Preference.SECOND):
        record = replace(image_record(3), preference=preference)
        swapped = replace(record, first=record.second, second=record.first, preference=preference.swap())
        assert content_digest(record) == content_digest(swapped)
        assert verdict(record) * verdict(swapped) > 0
        contradiction = replace(record, preference=preference.swap())
        assert verdict(record) * verdict(contradiction) < 0
    assert verdict(replace(image_record(3), preference=Preference.TIE)) == 0
    assert content_digest(image_record(3)) != content_digest(image_record(4))


def test_equal_candidates_are_seen() -> None:
    record = image_record(0)
    assert same_candidates(replace(record, second=record.first))
    assert not same_candidates(record)


def test_a_picture_keeps_its_hash_when_it_is_scaled_and_none_when_plain() -> None:
    generator = np.random.default_rng(0)
    small = Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    picture = small.resize((256, 256), Image.Resampling.BICUBIC)
    other = Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((256, 256))
    scaled = picture.resize((199, 211), Image.Resampling.BICUBIC)
    assert (perceptual_hash(picture) ^ perceptual_hash(scaled)).bit_count() <= 6
    assert (perceptual_hash(picture) ^ perceptual_hash(other)).bit_count() > 12
    assert perceptual_hash(Image.new("RGB", (64, 64), "red")) == 0


def test_spelling_does_not_tell_texts_apart() -> None:
    assert normalised_text("A  red CAR, \u201cfast\u201d!") == normalised_text("a red car fast") == "a red car fast"
    assert normalised_text("\uff21\uff22") == "ab"
