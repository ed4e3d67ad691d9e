"""Two tabs of the page: "Try a picture", and "Folders and videos"."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from photofinish.client.ui.page.panels import PagePanel, PanelContext
from photofinish.client.ui.picture.examples import Examples
from photofinish.client.ui.picture.routes import add_picture_routes
from photofinish.client.ui.picture.trying import TwoSides
from photofinish.client.ui.picture.video_routes import add_video_routes
from photofinish.client.ui.picture.videos import VideoDesk

ASSETS = Path(__file__).resolve().parent / "assets"


def build_picture_panel(context: PanelContext) -> None:
    """The tab; its pictures go to routes of our own, so that no file of an upload lies in Gradio's cache."""
    sides = TwoSides(context.view)
    add_picture_routes(context.app, sides, Examples(), context.view.machine_use)
    context.resources.callback(sides.close)
    gr.HTML((ASSETS / "picture.html").read_text(encoding="utf-8"), padding=False)


def build_video_panel(context: PanelContext) -> None:
    """The tab; the variant of the optimised side looks at a video."""
    view = context.view
    desk = context.resources.enter_context(VideoDesk(lambda: (view.url, view.choice.optimised), view.machine_use))
    add_video_routes(context.app, desk, context.owner)
    gr.HTML((ASSETS / "videos.html").read_text(encoding="utf-8"), padding=False)


PICTURE_PANEL = PagePanel(
    key="picture",
    title="picture.tab",
    build=build_picture_panel,
    script=ASSETS / "picture.js",
    style=ASSETS / "picture.css",
)
VIDEO_PANEL = PagePanel(key="videos", title="picture.videos.tab", build=build_video_panel, script=ASSETS / "videos.js")
