"""A model's folder from anywhere: opened, or refused in one line before a library sees it. Nothing in it is run, fetched
or believed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import urt_core
from urt_core.engines.model import folder as model_folder
from urt_core.engines.model.folder import SUMS, check_model_folder, open_model, read_picture, write_sums
from urt_core.engines.model.processing import load_processing
from urt_core.engines.transformers import TransformersEngine
from urt_core.errors import CheckpointError, EngineError, UrtError
from urt_core.media import MediaPolicy

JUDGE = Path(urt_core.__file__).parent / "example" / "judge"
LISTED = sorted(item.name for item in JUDGE.iterdir() if item.name != SUMS)


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A copy of the example's judge, with its list of hashes."""
    folder = tmp_path / "judge"
    shutil.copytree(JUDGE, folder)
    write_sums(folder)
    return folder


@pytest.fixture
def foreign(judge: Path) -> Path:
    """The same without a list, as from a hub."""
    (judge / SUMS).unlink()
    return judge


def engine_of(folder: Path) -> TransformersEngine:
    return TransformersEngine.from_pretrained(folder, policy=MediaPolicy(min_pixels=1024, max_pixels=4096))


def merged(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_export_is_opened_with_and_without_its_list(judge: Path) -> None:
    assert engine_of(judge).module.num_parameters() > 0
    (judge / SUMS).unlink()
    check_model_folder(judge)


def test_a_picture_that_the_list_does_not_name_is_refused(judge: Path) -> None:
    (judge / "anchor-image-generation-0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(CheckpointError, match=r"SHA256SUMS does not list anchor-image-generation-0\.png"):
        check_model_folder(judge)
    write_sums(judge)
    check_model_folder(judge)
    assert read_picture(judge, "anchor-image-generation-0.png") == b"\x89PNG\r\n\x1a\n"


def test_the_example_carries_its_hashes() -> None:
    lines = (JUDGE / SUMS).read_text().splitlines()
    assert sorted(line.split("  ")[1] for line in lines) == LISTED


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("change", ["bit", "cut", "gone"])
def test_a_changed_file_is_named(judge: Path, name: str, change: str) -> None:
    content = bytearray((judge / name).read_bytes() or b"\0")
    if change == "gone":
        (judge / name).unlink()
    else:
        content[len(content) // 2] ^= 1
        (judge / name).write_bytes(content[:-1] if change == "cut" and len(content) > 1 else content)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        check_model_folder(judge)


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "special_tokens_map.json", "chat_template.jinja2.jinja", "vocab.txt"]
)
def test_a_file_that_libraries_would_read_beside_the_listed_ones_is_refused(judge: Path, name: str) -> None:
    for own in ("README.md", "calibration.json", "notes.txt"):
        (judge / own).write_text("{}")
    check_model_folder(judge)
    (judge / name).write_text("{}")
    with pytest.raises(CheckpointError, match="does not list"):
        check_model_folder(judge)


@pytest.mark.parametrize(
    "line",
    ["x", "0" * 64 + "  ../config.json", "0" * 64 + "  /etc/passwd", "0" * 63 + "  a", "\ud800", "0" * 64 + " a b"],
)
def test_a_list_holds_hashes_and_plain_names(judge: Path, line: str) -> None:
    with (judge / SUMS).open("ab") as file:
        file.write(line.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=SUMS):
        check_model_folder(judge)


def test_an_empty_list_proves_nothing(judge: Path) -> None:
    (judge / SUMS).write_text("")
    with pytest.raises(CheckpointError, match="does not list"):
        check_model_folder(judge)


def with_weights(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def without(part: str) -> Callable[[dict[str, Any]], None]:
    def drop(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if part in name]:
            del weights[name]

    return drop


def filled(value: float) -> Callable[[dict[str, Any]], None]:
    def fill(weights: dict[str, Any]) -> None:
        name = sorted(weights)[len(weights) // 2]
        weights[name].view(-1)[-1] = value

    return fill


def misshapen(weights: dict[str, Any]) -> None:
    name = next(name for name in sorted(weights) if weights[name].ndim == 2)
    weights[name] = torch.zeros(3, 5, dtype=weights[name].dtype)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("visual.merger"), "lacks|can't be opened"),
        (without("embed_tokens"), "lacks|can't be opened"),
        (misshapen, "lacks|can't be opened"),
        (filled(float("nan")), "no finite numbers"),
        (filled(float("inf")), "no finite numbers"),
        (filled(float("-inf")), "no finite numbers"),
    ],
    ids=["merger", "embedding", "misshapen", "nan", "inf", "-inf"],
)
def test_weights_that_are_missing_misshapen_or_no_numbers(foreign: Path, change: Any, reason: str) -> None:
    with_weights(change)(foreign)
    with pytest.raises(CheckpointError, match=reason):
        engine_of(foreign)


def test_numbers_that_are_no_numbers_are_found_behind_right_hashes(judge: Path) -> None:
    with_weights(filled(float("nan")))(judge)
    write_sums(judge)
    with pytest.raises(CheckpointError, match="no finite numbers"):
        check_model_folder(judge)


CODE = "import pathlib\npathlib.Path({!r}).write_text('ran')\nfrom transformers import PretrainedConfig\nclass Config(PretrainedConfig):\n    model_type = 'ownmodel'\n"


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"model_type": "ownmodel", "auto_map": {"AutoConfig": "own_code.Config", "AutoModelForImageTextToText": "own_code.Config"}}),
        ("config.json", {"auto_map": {"AutoConfig": "own_code.Config", "AutoModelForImageTextToText": "own_code.Config"}}),
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own_code.Config", "own_code.Config"]}}),
        ("preprocessor_config.json", {"image_processor_type": "Own", "auto_map": {"AutoImageProcessor": "own_code.Config"}}),
        ("preprocessor_config.json", {"image_processor_type": "Own", "auto_map": {"AutoImageProcessor": "somebody/else--own_code.Config"}}),
    ],
)  # fmt: skip
def test_code_of_a_folder_is_neither_run_nor_asked_for(
    foreign: Path,
    file: str,
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import io

    ran = foreign / "ran"
    (foreign / "own_code.py").write_text(CODE.format(str(ran)))
    merged(foreign / file, **fields)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 50))
    try:
        engine_of(foreign)
    except UrtError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert not ran.exists()
    assert "run the custom code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model_type": ["qwen3_vl"]}, "model type is"),
        ({"model_type": None}, "model type is"),
        ({"text_config": {"num_hidden_layers": 10**9}}, "num_hidden_layers is 1e\\+09"),
        ({"vision_config": {"depth": 5000}}, "depth is"),
        ({"vocab_size": 10**40}, "a number that no model has"),
        ({"attn_implementation": "somebody/kernels"}, "code of a hub"),
        ({"text_config": {"_attn_implementation": "kernels-community/flash-attn"}}, "code of a hub"),
    ],
)
def test_a_config_that_no_model_has(foreign: Path, fields: dict[str, Any], reason: str) -> None:
    merged(foreign / "config.json", **fields)
    with pytest.raises((CheckpointError, EngineError), match=reason):
        check_model_folder(foreign)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "generation_config.json",
        "model.safetensors",
    ],
)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe{}", b'{"model_type": "\\ud800"}',
     (10**15).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}", b'{"chat_template": 5, "model_type": 7}'],
    ids=range(12),
)  # fmt: skip
def test_a_damaged_file_is_one_line_or_a_model(foreign: Path, name: str, content: bytes) -> None:
    (foreign / name).write_bytes(content)
    try:
        engine_of(foreign)
    except UrtError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 700  # noqa: PT017
    else:
        # What a processor's own file may leave out has a default; the weights and their shape have none.
        is_object = content.startswith(b"{") and content.endswith(b"}") and b'"model_type"' in content
        assert name == "generation_config.json" or (
            is_object and name in ("tokenizer_config.json", "preprocessor_config.json")
        )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", SUMS])
def test_pipes_and_devices_are_not_read(judge: Path, name: str) -> None:
    for make in (
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev/urandom"),
        Path.mkdir,
    ):
        if (judge / name).is_dir() and not (judge / name).is_symlink():
            (judge / name).rmdir()
        (judge / name).unlink(missing_ok=True)
        make(judge / name)
        with pytest.raises(CheckpointError, match=r"not a regular file|can't be read"):
            check_model_folder(judge)


def test_links_of_a_hub_cache_are_followed(foreign: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for item in foreign.iterdir():
        (snapshot / item.name).symlink_to(item)
    check_model_folder(snapshot)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a.bin", "x/y.safetensors", ".safetensors", 5, None]
)
def test_an_index_names_safetensors_of_its_folder(foreign: Path, name: Any) -> None:
    (foreign / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model.safetensors", "b": name}})
    )
    with pytest.raises(CheckpointError, match=r"index\.json"):
        check_model_folder(foreign)


def test_a_pickle_is_no_weight(foreign: Path) -> None:
    (foreign / "model.safetensors").rename(foreign / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="never as pickles"):
        check_model_folder(foreign)


def test_an_adapter_that_names_a_model_elsewhere_is_refused(foreign: Path) -> None:
    (foreign / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else", "peft_type": "LORA"}')
    with pytest.raises(CheckpointError, match="holds an adapter"):
        check_model_folder(foreign)


def test_the_wall_knows_no_list() -> None:
    for error in (AssertionError("a\nb"), SystemError(), RecursionError("x"), KeyError("y"), ModuleNotFoundError("z")):
        with pytest.raises(CheckpointError, match="can't be opened as a model") as caught, model_folder.model_wall("m"):
            raise error
        assert "\n" not in str(caught.value)


def test_a_folder_that_lacks_a_weight_is_refused_by_opening(foreign: Path) -> None:
    with_weights(without("visual.merger"))(foreign)
    load_processing(foreign)
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights of its model, such as"):
        open_model(foreign)
