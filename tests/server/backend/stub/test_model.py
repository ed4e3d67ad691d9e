"""Requests answered in batches, without a server: stand-ins for Triton's objects, numpy for the engine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.server.backend.test_batches import build_model, pictures, sums


class Held:
    """A capsule in numpy's hands."""

    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __dlpack__(self, **wishes: object) -> object:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Tensor:
    """Triton's tensor: it shares the memory that it was made from."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name = name
        self.array = array

    @staticmethod
    def from_dlpack(name: str, capsule: object) -> Tensor:
        return Tensor(name, np.from_dlpack(Held(capsule)))

    def to_dlpack(self) -> object:
        return self.array.__dlpack__()

    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def name(self) -> str:
        return self._name


class Response:
    """Triton's response; what it holds is sent after all requests are answered."""

    def __init__(self, tensors: list[Tensor], error: str | None = None) -> None:
        self.tensors = tensors
        self.error = error

    def rows(self) -> np.ndarray:
        return self.tensors[0].array


class FixedBufferEngine:
    """As on a GPU: every run leaves its outputs in the same memory. A picture that begins with 255 fails its batch."""

    def __init__(self) -> None:
        self.buffer = np.zeros((8, 4), np.float32)

    def run(self, parts: Sequence[Any]) -> list[list[np.ndarray]]:
        arrays = [part[0].array() for part in parts]
        if any(array.flat[0] == 255 for array in arrays):
            raise RuntimeError("no such picture")
        outputs = []
        start = 0
        for array in arrays:
            rows = self.buffer[start : start + len(array)]
            rows[...] = sums([array])[0]
            outputs.append([rows])
            start += len(array)
        return outputs


@pytest.fixture
def stub_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    triton = ModuleType("triton_python_backend_utils")
    vars(triton).update(Tensor=Tensor, InferenceResponse=Response, TritonError=str)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    names = [f"photofinish.server.backend.stub.{name}" for name in ("tensors", "model")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(names[-1])
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    return module


def request(array: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(inputs=lambda: [Tensor("frames", array)])


def test_the_others_keep_their_own_rows_when_one_request_fails_its_batch(stub_model: ModuleType) -> None:
    given = [pictures(seed, 1 + seed % 2) // 2 for seed in range(5)]
    given[2].flat[0] = 255
    found = stub_model.answer([request(array) for array in given], build_model(), FixedBufferEngine().run)
    assert "no such picture" in found[2].error
    for index in (0, 1, 3, 4):
        np.testing.assert_array_equal(found[index].rows(), sums([given[index]])[0])


def test_requests_of_different_shapes_keep_their_own_rows(stub_model: ModuleType) -> None:
    given = [pictures(0, 1) // 2, pictures(1, 2)[:, :1] // 2, pictures(2, 1) // 2]
    found = stub_model.answer([request(array) for array in given], build_model(), FixedBufferEngine().run)
    for array, response in zip(given, found, strict=True):
        np.testing.assert_array_equal(response.rows(), sums([array])[0])


def test_a_batch_that_succeeds_is_not_copied(stub_model: ModuleType) -> None:
    engine = FixedBufferEngine()
    found = stub_model.answer([request(pictures(seed, 1) // 2) for seed in range(3)], build_model(), engine.run)
    assert all(np.shares_memory(response.rows(), engine.buffer) for response in found)
