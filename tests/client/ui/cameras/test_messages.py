"""The cell's messages in Chinese: every one that the code can make is in the page's table, and reads as a sentence."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from photofinish.client.ui.cameras.page import ASSETS
from tests.conftest import CHECKOUT

TABLE: list[list[str]] = json.loads((ASSETS / "messages.json").read_text(encoding="utf-8"))
RAISED = {"IngestError", "UnsuitableError", "_fail", "NoVideoError"}
"""What takes a message for people as its last plain argument."""
MADE_OF_PARTS = {
    "the camera ended the connectionX": ["the camera ended the connection", "the camera ended the connection (reset)"],
    "X; is this address one of RTSP?": [
        "what the camera sends is no RTSP; is this address one of RTSP?",
        "a message of the camera does not end; is this address one of RTSP?",
        "a message of the camera has a length of 99; is this address one of RTSP?",
    ],
}
"""Messages whose parts are messages themselves, and what they become."""
GPU_MODULES = ("nvdec", "pool", "probing", "sessions")
REASONS = ("SourceError", "LackingError", "SessionLimitError", "Refusal", "_fail")
DECODING = CHECKOUT / "client" / "cameras" / "decode" / "codec.py"


def translated(message: str) -> str:
    """As assets/cameras.js does it."""
    rows = sorted(TABLE, key=lambda row: (row[0].count("{"), -len(row[0])))
    for said, chinese in rows:
        keys = re.findall(r"\{(\w+)\}", said)
        parts = [re.escape(part) for part in re.split(r"\{\w+\}", said)]
        if found := re.fullmatch("(.+?)".join(parts), message, re.DOTALL):
            for key, value in zip(keys, found.groups(), strict=True):
                chinese = chinese.replace(f"{{{key}}}", translated(value))
            return chinese
    return message


def example_of(node: ast.expr) -> str | None:
    """A message as the code would make it: `X1`, `X2` in the place of values. None for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [item.value if isinstance(item, ast.Constant) else "X" for item in node.values]
        return "".join(map(str, parts))
    return None


def messages_of(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in RAISED and not (name == "SourceError" and path == DECODING):
            continue
        said = node.args[-1]
        said = texts.get(said.id, said) if isinstance(said, ast.Name) else said
        if (text := example_of(said)) is not None:
            yield text


def reasons_of(path: Path) -> Iterator[str]:
    """What an error or a refusal says, where the code says it itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            said = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "reason")]
            if name in REASONS and said and (text := example_of(said[0])) not in (None, "X"):
                yield text
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr):
            yield example_of(node.value) or ""


def said_by_the_code() -> list[str]:
    folders = ("ingest", "rtsp", "decode")
    paths = [path for folder in folders for path in sorted((CHECKOUT / "client" / "cameras" / folder).glob("*.py"))]
    return [text for path in paths for text in messages_of(path)]


def test_every_message_that_the_code_makes_is_in_the_table() -> None:
    said = said_by_the_code()
    assert len(said) > 25
    assert "the camera has nothing at this path; check the end of the address" in said
    whole = [made for text in said for made in MADE_OF_PARTS.get(text, [text])]
    missing = [text for text in whole if translated(text) == text]
    assert not missing, "give them a row in client/ui/cameras/assets/messages.json"


def test_every_reason_of_the_gpu_path_is_in_the_table() -> None:
    folder = CHECKOUT / "client" / "cameras" / "decode" / "gpu"
    said = [text for name in GPU_MODULES for text in reasons_of(folder / f"{name}.py")]
    assert len(said) > 15
    missing = [text for text in said if translated(text) == text]
    assert not missing, "give them a row in client/ui/cameras/assets/messages.json"


def test_rows_have_the_same_blanks_and_no_english_in_the_chinese() -> None:
    for said, chinese in TABLE:
        assert sorted(re.findall(r"\{\w+\}", said)) == sorted(re.findall(r"\{\w+\}", chinese)), said
        words = re.sub(r"\{\w+\}|`[^`]*`", "", chinese)
        assert re.search("[一-鿿]", words), chinese
        assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", words), chinese


@pytest.mark.parametrize(
    ("message", "chinese"),
    [
        ("10.0.0.9 refuses connections to port 554; is the camera's RTSP service on, and the port right?", "10.0.0.9"),
        ("the camera has nothing at this path; check the end of the address", "摄像头上没有这个路径"),
        ("connected, and no picture for 3.2 s (limit 3.0 s); is its encoder busy?", "3.2 秒没有画面（上限 3.0 秒）"),
        ("h264 that cannot be decoded: Invalid data found when processing input", "无法解码的 h264"),
        ("the GPU opens no more than 285 decoding sessions, and the CPU has no room", "285 个解码会话，且 CPU"),
        ("the GPU failed on it 3 times: the GPU's decoder failed: error 2", "失败 3 次：GPU 解码器出错：error 2"),
        ("GPU 0 (NVIDIA L4) decodes no h264 of 8192 x 4320", "GPU 0 (NVIDIA L4) 不能解码 8192 x 4320 的 h264"),
        ("its decoder failed; tried again in 0.4 s", "其解码器出错；0.4 秒后重试"),
        ("what nobody has translated", "what nobody has translated"),
    ],
)
def test_a_message_keeps_its_values(message: str, chinese: str) -> None:
    assert chinese in translated(message)
