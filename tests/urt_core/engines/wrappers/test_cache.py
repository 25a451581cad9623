"""Exactly one request per distinct question, whoever asks it, however often, from however many processes."""

import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.urt_core.engines.wrappers.conftest import SAMPLING, answer, prompts
from urt_core import SamplingParams
from urt_core.engines import Completion
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.wrappers.cache import CompletionCache, cache_key
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import DataError
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media, MediaKind


def media(*data):
    kind = MediaKind.IMAGE if len(data) == 1 else MediaKind.VIDEO
    return Media(kind=kind, files=tuple(f"{i}.png" for i in range(len(data))), data=data)


def key(*parts, sampling=SAMPLING, model="m", preprocessing="p"):
    return cache_key(Prompt(parts=parts), sampling, model=model, preprocessing=preprocessing)


def test_keys_differ_wherever_the_answer_could():
    a, b = media(b"aa"), media(b"bb")
    keys = [
        key("x", a, b),
        key("x", b, a),  # order of the candidates
        key("x", media(b"a"), media(b"abb")),  # the same bytes, cut elsewhere
        key("x", media(b"aa", b"bb")),  # one video is not two images
        key("x", media(b"aabb")),
        key("x", a, b, sampling=replace(SAMPLING, stop=("b",))),
        key("x", a, b, sampling=replace(SAMPLING, top_logprobs=2)),
        key("x", a, b, sampling=replace(SAMPLING, extra={"presence_penalty": 1})),
        cache_key(
            Prompt(parts=("x", a, b), before=(Turn(role="system", parts=("y",)),)),
            SAMPLING,
            model="m",
            preprocessing="p",
        ),
        key("xa", b),
        key("x", a, b, model="m2"),
        key("x", a, b, preprocessing="p2"),
        key("x", a, b, sampling=SamplingParams(temperature=0.7, num_completions=2, seed=1)),
        key("x", a, b, sampling=SamplingParams(temperature=0.7, num_completions=2, max_tokens=9)),
    ]
    assert len(set(keys)) == len(keys)
    renamed = Media(kind=MediaKind.IMAGE, files=("other.png",), data=(b"aa",))
    assert key("x", renamed, b) == keys[0]


WORKER = """
import sys, time
from pathlib import Path
from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines.wrappers.cache import CompletionCache
from urt_core.engines.wrappers.cached import CachedEngine

folder, offset = Path(sys.argv[1]), int(sys.argv[2])

class Counting:
    model = "counting"

    def generate(self, prompts, sampling):
        time.sleep(0.01)
        with open(folder / "calls.txt", "a") as file:
            file.writelines(f"{prompt.key}\\n" for prompt in prompts)
        return [[Completion(text=prompt.text)] for prompt in prompts]

cached = CachedEngine(Counting(), cache=CompletionCache(folder / "c.sqlite"))
for start in range(40):
    number = (start + offset) % 40
    prompt = Prompt(parts=(f"question {number}",), key=f"k{number}")
    [[completion]] = cached.generate([prompt], SamplingParams())
    assert completion.text == prompt.text
"""


def test_four_processes_pay_once_for_each(tmp_path):
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(offset)]) for offset in (0, 0, 13, 27)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    calls = (tmp_path / "calls.txt").read_text().split()
    assert sorted(calls) == sorted(prompt.key for prompt in prompts(40))


def test_a_claim_lasts_as_long_as_its_process(tmp_path):
    living = CompletionCache(tmp_path / "c.sqlite")
    other = CompletionCache(tmp_path / "c.sqlite")
    assert living.claim(["a"]) == ["a"]
    assert other.claim(["a"]) == living.claim(["a"]) == []
    living.close()
    assert other.claim(["a"]) == ["a"]
    other.settle({"a": [Completion(text="done")]})
    assert other.get(["a"])["a"][0].text == "done"
    other.close()
    assert [path.name for path in tmp_path.iterdir() if "owner" in path.name] == []


KILLED = """
import os, signal, sys
from urt_core.engines.wrappers.cache import CompletionCache

cache = CompletionCache(sys.argv[1])
assert cache.claim(["a"]) == ["a"]
print("claimed", flush=True)
sys.stdin.read()
"""


def test_the_claim_of_a_killed_process_is_free_at_once_whatever_the_clock_says(tmp_path, monkeypatch):
    path = tmp_path / "c.sqlite"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"claimed\n"
    cache = CompletionCache(path)
    monkeypatch.setattr(time, "time", lambda: 10.0**12)
    assert cache.claim(["a"]) == []
    child.kill()
    child.communicate()
    assert cache.claim(["a"]) == ["a"]
    cache.close()
    assert [found.name for found in tmp_path.iterdir() if "owner" in found.name] == []


STORED = (
    '[{"text": "t", "finish_reason": "stop", "token_ids": [1], "logprobs": [-0.5], "token_texts": ["a"], "top_logprobs": [[["a", -0.5]]], '
    '"usage": [6, 3], "detail": ""}]'
)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "[]",
        "[{}]",
        "[1]",
        "5",
        "null",
        '{"text": 1}',
        b"\xff\x00",
        '[{"text": 5}]',
        "[" * 5000,
        '[{"usage": []}]',
        STORED.replace("[6, 3]", "[1e999, 3]"),
        STORED.replace("[6, 3]", "[NaN, 3]"),
        STORED.replace('"logprobs": [-0.5]', '"logprobs": [NaN]'),
        STORED.replace('"logprobs": [-0.5]', '"logprobs": [5]'),
        STORED.replace('"logprobs": [-0.5]', '"logprobs": ["-0.5"]'),
        STORED.replace('[["a", -0.5]]', '[["a", Infinity]]'),
    ],
)
def test_a_damaged_answer_is_set_aside_and_asked_again(tmp_path, caplog, value):
    engine = ScriptedEngine(script=answer)
    cached = CachedEngine(engine, cache=CompletionCache(tmp_path / "c.sqlite"))
    first = cached.generate(prompts(2), SAMPLING)
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        connection.execute("UPDATE completions SET value = ? WHERE key = (SELECT min(key) FROM completions)", (value,))
    connection.close()
    assert cached.generate(prompts(2), SAMPLING) == first
    assert len(engine.prompts) == 3
    assert len([record for record in caplog.records if "damaged" in record.message]) == 1


def test_a_surrogate_that_an_older_cache_holds_is_read(tmp_path):
    cache = CompletionCache(tmp_path / "c.sqlite")
    cache.settle({"a": [Completion(text="a \ud83d cat", token_texts=("\ud83d",), logprobs=(-1.0,))]})
    [completion] = cache.get(["a"])["a"]
    assert (completion.text, completion.token_texts) == ("a � cat", ("�",))


def test_a_damaged_file_is_set_aside_with_one_line(tmp_path, caplog):
    path = tmp_path / "c.sqlite"
    cached = CachedEngine(ScriptedEngine(script=answer), cache=CompletionCache(path))
    given = cached.generate(prompts(200), SAMPLING)
    cached.cache.close()
    data = bytearray(path.read_bytes())
    data[100:] = bytes(255 - byte for byte in data[100:])
    path.write_bytes(data)
    engine = ScriptedEngine(script=answer)
    again = CachedEngine(engine, cache=CompletionCache(path))
    assert again.generate(prompts(200), SAMPLING) == given
    assert len(engine.prompts) == 200
    assert len([record for record in caplog.records if "is damaged" in record.message]) == 1
    assert len(list(tmp_path.glob("c.sqlite.damaged-*"))) == 1


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "text.sqlite").write_text("not a database, but longer than the header of one " * 40)
    with pytest.raises(DataError, match="cannot be used as a cache"):
        CompletionCache(tmp_path / "text.sqlite")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(DataError, match="version 99"):
        CompletionCache(tmp_path / "newer.sqlite")


def test_another_working_directory_is_no_other_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = CompletionCache("judgements.sqlite")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with ThreadPoolExecutor(1) as other_thread:  # connections are made per thread, when they are needed
        assert other_thread.submit(len, cache).result() == 0
    cache.close()
    assert not list((tmp_path / "elsewhere").iterdir())
