"""The Gradio page of a running cell; its words lie in assets/words.json and messages.json."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from photofinish.client.ui.page.page import mount_page

ASSETS = Path(__file__).resolve().parent / "assets"


def page_script() -> str:
    """What the page runs: its words and the cell's messages in Chinese, then its code."""
    words, messages = (
        json.dumps(json.loads((ASSETS / f"{name}.json").read_text(encoding="utf-8")), ensure_ascii=False)
        for name in ("words", "messages")
    )
    code = (ASSETS / "cameras.js").read_text(encoding="utf-8")
    return f"const PHOTOFINISH_WORDS = {words};\nconst PHOTOFINISH_MESSAGES = {messages};\n{code}"


def build_page() -> gr.Blocks:
    """The page; assets/cameras.js fills it."""
    with gr.Blocks(title="Photofinish cameras", analytics_enabled=False, fill_width=True) as page:
        gr.HTML((ASSETS / "cameras.html").read_text(encoding="utf-8"), padding=False)
    return page


def mount_cameras_page(app: FastAPI, root_path: str) -> None:
    """The page at the root of `app`."""
    mount_page(app, build_page(), root_path=root_path, style=ASSETS / "cameras.css", script=page_script())
