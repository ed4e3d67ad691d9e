"""What decides whether an engine is stale."""

from __future__ import annotations

import importlib.metadata
from types import SimpleNamespace

import pytest

from photofinish.errors import ConfigError
from photofinish.export.tensorrt.targets import engine_settings, target_from_text


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt-cu12-bindings", "tensorrt_cu13_libs", "TensorRT-RTX-cu13"])
def test_another_version_of_any_tensorrt_makes_an_engine_stale(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def settings_with(version: str) -> dict[str, object]:
        installed = [SimpleNamespace(metadata={"Name": package}, version=version)]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
        return engine_settings(("sm120",))

    assert settings_with("10.16.1") != settings_with("10.17.0")
    assert settings_with("10.16.1") == settings_with("10.16.1")


@pytest.mark.parametrize(("text", "target"), [("sm120", "sm120"), ("SM_89", "sm89"), ("8.6", "sm86"), ("120", "sm120")])
def test_target_spellings(text: str, target: str) -> None:
    assert target_from_text(text) == target


@pytest.mark.parametrize("text", ["", "rtx5070", "sm1", "sm12000"])
def test_target_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--target must name a GPU architecture"):
        target_from_text(text)
