"""Which implementation runs."""

import warnings

import pytest
import torch

from urt_kernels import dispatch


def test_auto_is_the_reference_off_the_gpu():
    assert dispatch.resolve("auto", torch.device("cpu"), operation="x") == "reference"


def test_auto_on_a_gpu(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(dispatch, "_TRITON_INSTALLED", True)
    assert dispatch.resolve("auto", cuda, operation="x") == "triton"
    assert dispatch.resolve("reference", cuda, operation="x") == "reference"


def test_a_fallback_on_a_gpu_is_said_once(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(dispatch, "_TRITON_INSTALLED", False)
    monkeypatch.setattr(dispatch, "_said", set())
    with pytest.warns(UserWarning, match="Triton is not installed"):
        assert dispatch.resolve("auto", cuda, operation="x") == "reference"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dispatch.resolve("auto", cuda, operation="x")
    with pytest.raises(ValueError, match="Triton is not installed"):
        dispatch.resolve("triton", cuda, operation="x")


def test_interpreter_is_only_taken_when_asked_for(monkeypatch):
    monkeypatch.setattr(dispatch, "_TRITON_INSTALLED", True)
    monkeypatch.setattr(dispatch, "_INTERPRETING", True)
    assert dispatch.resolve("auto", torch.device("cpu"), operation="x") == "reference"
    assert dispatch.resolve("triton", torch.device("cpu"), operation="x") == "triton"
