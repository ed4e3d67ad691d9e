"""What the code says of a source, on the Chinese page: every message is in the table, and keeps its values."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from photofinish.client.ui.words import ROOMS, translated
from tests.client.ui.cameras.test_messages import example_of
from tests.conftest import CHECKOUT

TABLE: list[list[str]] = json.loads((ROOMS / "page" / "assets" / "messages.json").read_text(encoding="utf-8"))
SOURCES = ("opening", "streams", "live", "recordings", "decoding", "pictures", "heif")
BEGUN = re.compile(r"^X(?=: | within )")
"""What begins with `X cannot be opened`, made of a part."""


def said_in(path: Path) -> Iterator[str]:
    """The texts of `SourceError(…)`, and what functions `_why_…` return."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node.args[0] for node in ast.walk(tree) if is_source_error(node) and node.args]  # type: ignore[attr-defined]
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name.startswith("_why_"):
            nodes += [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return (text for node in nodes if (text := example_of(node)) and re.search("[a-z]", text))


def is_source_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SourceError"


def test_every_message_of_a_source_is_in_the_table() -> None:
    paths = [CHECKOUT / "client" / "sources" / f"{name}.py" for name in SOURCES]
    said = {text for path in paths for text in said_in(path)}
    assert len(said) > 15
    whole = [BEGUN.sub("X cannot be opened", text).replace("framesX", "frames") for text in said]
    missing = [text for text in whole if translated(text, "zh") == text]
    assert not missing, "give them a row in client/ui/page/assets/messages.json"


def test_rows_have_the_same_blanks_and_no_english_in_the_chinese() -> None:
    for said, chinese in TABLE:
        assert sorted(re.findall(r"\{\w+\}", said)) == sorted(re.findall(r"\{\w+\}", chinese)), said
        words = re.sub(r"\{\w+\}|`[^`]*`", "", chinese)
        assert re.search("[一-鿿]", words) or words == "", chinese
        assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", words), chinese


@pytest.mark.parametrize(
    ("message", "chinese"),
    [
        (
            "没有.mp4 does not exist, or this user may not look at it; give a picture, a folder, a video, a camera "
            "index, rtsp://… or `synthetic`",
            "没有.mp4 不存在，或当前用户无权查看；请填写",
        ),
        (
            "rtsp://10.0.0.9/live cannot be opened within 5 s (Connection refused); check the address and that "
            "10.0.0.9 is reachable. Trying again",
            "rtsp://10.0.0.9/live 在 5 秒内无法打开（连接被拒绝）；请检查地址，以及 10.0.0.9 能否连通",
        ),
        ("a {b} stopped after 7 frames", "a {b} 在 7 帧之后停止"),
        ("rtsp://c/1 stopped after 707 frames; reconnecting (3 of 5)", "rtsp://c/1 在 707 帧之后停止，正在重连"),
        ("the optimised process was ended by SIGKILL. Trying again", "优化进程 被 SIGKILL 终止"),
        ("what nobody has translated", "what nobody has translated"),
    ],
)
def test_a_message_keeps_its_values(message: str, chinese: str) -> None:
    assert translated(message, "zh").startswith(chinese)
    assert translated(message, "en") == message
