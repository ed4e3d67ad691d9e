"""What decides whether an engine is stale."""

from __future__ import annotations

import importlib.metadata
from types import SimpleNamespace

import pytest

from photofinish.export.tensorrt.targets import engine_settings


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt-cu12-bindings", "tensorrt_cu13_libs", "TensorRT-RTX-cu13"])
def test_another_version_of_any_tensorrt_makes_an_engine_stale(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def settings_with(version: str) -> dict[str, object]:
        installed = [SimpleNamespace(metadata={"Name": package}, version=version)]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
        return engine_settings(("sm120",))

    assert settings_with("10.16.1") != settings_with("10.17.0")
    assert settings_with("10.16.1") == settings_with("10.16.1")
