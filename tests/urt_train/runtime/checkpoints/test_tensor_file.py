"""What is written is what safetensors reads; any box of a tensor comes out of any division into pieces."""

import hashlib
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from urt_core.errors import CheckpointError
from urt_train.runtime.checkpoints.tensor_file import DTYPES, Piece, PieceReader, write_tensors


def test_safetensors_reads_every_type_and_shape(tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{dtype}.{len(shape)}": (torch.randn(shape, generator=generator) * 9).to(dtype)
        for dtype in DTYPES
        for shape in [(), (3,), (2, 0), (5, 3, 2)]
    }
    tensors["turned"] = torch.arange(12.0).reshape(3, 4).T
    size, digest = write_tensors(tmp_path / "all.safetensors", tensors)
    content = (tmp_path / "all.safetensors").read_bytes()
    assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())
    found = load_file(tmp_path / "all.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype is tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_nothing_to_write_is_a_file_too(tmp_path):
    write_tensors(tmp_path / "none.safetensors", {})
    assert load_file(tmp_path / "none.safetensors") == {}


def cut(total: int, borders: list[float]) -> list[tuple[int, int]]:
    edges = sorted({0, total, *(int(border * total) for border in borders)})
    return list(itertools.pairwise(edges))


fractions = st.lists(st.floats(0, 1), max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    borders=st.lists(fractions, min_size=3, max_size=3),
    data=st.data(),
)
def test_any_box_comes_out_of_any_division(tmp_path_factory, shape, borders, data):
    folder = tmp_path_factory.mktemp("pieces")
    whole = torch.arange(float(math.prod(shape))).reshape(shape)
    boxes: list[list[tuple[int, int]]] = [[]]
    for size, edges in zip(shape, borders, strict=False):
        boxes = [[*box, span] for box in boxes for span in cut(size, edges)]
    files = {}
    for number, box in enumerate(boxes):
        path = folder / f"{number}.safetensors"
        part = whole[tuple(slice(low, high) for low, high in box)]
        write_tensors(path, {"w": part})
        files[path] = {"w": Piece(whole=tuple(shape), offset=tuple(low for low, _ in box), shape=tuple(part.shape))}
    low = [data.draw(st.integers(0, size - 1)) for size in shape]
    high = [data.draw(st.integers(start + 1, size)) for start, size in zip(low, shape, strict=True)]
    wanted = Piece(whole=tuple(shape), offset=tuple(low), shape=tuple(b - a for a, b in zip(low, high, strict=True)))
    expected = whole[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    assert torch.equal(PieceReader(files).read("w", wanted), expected)
    if len(files) > 1:
        del files[next(iter(files))]
        with pytest.raises(CheckpointError, match="values of w"):
            PieceReader(files).read("w", Piece.of_all(shape))


def test_another_shape_and_another_file_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"w": torch.zeros(2, 3)})
    reader = PieceReader({path: {"w": Piece.of_all((2, 3)), "v": Piece.of_all((2,))}})
    with pytest.raises(CheckpointError, match=r"has w of shape \[2, 3\], the model \[3, 2\]"):
        reader.read("w", Piece.of_all((3, 2)))
    with pytest.raises(CheckpointError, match="can't be read"):
        reader.read("v", Piece.of_all((2,)))
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="can't be read"):
        PieceReader({path: {"w": Piece.of_all((2, 3))}}).read("w", Piece.of_all((2, 3)))


@pytest.mark.parametrize(
    "value", [None, [], [[2], [0]], [[2], [1], [2]], [[2], [-1], [1]], [[2, 2], [0], [2]], [["a"], [0], [1]]]
)
def test_a_piece_lies_inside_of_its_tensor(value):
    with pytest.raises((TypeError, ValueError)):
        Piece.from_json(value)
