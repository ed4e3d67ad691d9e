"""The Gradio page: the view and what to choose beneath it, and a tab for each further panel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from photofinish.client.ui.page.controls import build_controls
from photofinish.client.ui.page.front.head import FAVICON, PageHead, add_preview_route
from photofinish.client.ui.page.panels import PagePanel, PanelContext, build_panels, page_translations
from photofinish.client.ui.processes.side import SIDES
from photofinish.client.ui.words import LANGUAGES, Language, PageWords, room_words

ASSETS = Path(__file__).resolve().parent / "assets"
OWN_WORDS = "cameras"
"""The room whose page brings its words itself."""


def view_html() -> str:
    """The static part of the view; assets/view.js fills it."""
    page = (ASSETS / "view.html").read_text(encoding="utf-8")
    side_block = (ASSETS / "side.html").read_text(encoding="utf-8")
    for side in SIDES:
        page = page.replace(f"<!--side:{side}-->", side_block.replace("SIDE", side))
    return page


def page_theme() -> gr.themes.Base:
    """A dark theme with the machine's own fonts: nothing is fetched from elsewhere."""
    fonts = [gr.themes.Font(name) for name in ("system-ui", "sans-serif")]
    return gr.themes.Base(primary_hue="sky", neutral_hue="slate", font=fonts, font_mono=[gr.themes.Font("monospace")])


def build_page(context: PanelContext, panels: Sequence[PagePanel] = ()) -> gr.Blocks:
    """The page: the split view first, then a tab for each panel."""
    with gr.Blocks(title="Photofinish", analytics_enabled=False, fill_width=True) as page:
        gr.HTML((ASSETS / "head.html").read_text(encoding="utf-8"), padding=False)
        with gr.Tabs(elem_id="pf-tabs"):
            with gr.Tab(context.label("page.live"), id="live", elem_id="pf-tab-live"):
                gr.HTML(view_html(), padding=False)
                build_controls(page, context)
            build_panels(panels, context)
    return page


def language_script(asked: Language | None) -> str:
    """What runs before anything else: the words, and the choice between their languages."""
    words = {
        language: {room: said for room, said in room_words(language).items() if room != OWN_WORDS}
        for language in LANGUAGES
    }
    # `</script>` in a word would end the script.
    given = json.dumps(words, ensure_ascii=False).replace("</", "<\\/")
    code = (ASSETS / "language.js").read_text(encoding="utf-8")
    return f"const PHOTOFINISH_WORDS = {given};\nconst PHOTOFINISH_ASKED = {json.dumps(asked)};\n{code}"


def mount_view_page(app: FastAPI, context: PanelContext, panels: Sequence[PagePanel], *, root_path: str = "") -> None:
    """`app` with the split view and its panels at its root."""
    styles = [ASSETS / "view.css", *(panel.style for panel in panels if panel.style)]
    scripts = [ASSETS / "view.js", *(panel.script for panel in panels if panel.script)]
    words = PageWords(context.asked or "en")
    add_preview_route(app)
    app.add_middleware(
        PageHead,
        script=language_script(context.asked),
        title=words("page.preview.title"),
        description=words("page.preview.description"),
        root_path=root_path,
    )
    script = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
    mount_page(app, build_page(context, panels), root_path=root_path, style=styles, script=script)


def mount_page(
    app: Any, page: gr.Blocks, *, style: Path | Sequence[Path], script: str, root_path: str = ""
) -> Any:  # fmt: skip
    """`app` with a page at its root. root_path: where a proxy serves it, such as /cam."""
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=page_theme(),
        css_paths=style if isinstance(style, Path) else list(style),
        head=f"<script>{script}</script>",
        footer_links=[],
        max_file_size=1,  # Gradio takes uploads on every page; this one needs none
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        root_path=root_path or None,
        pwa=False,
        favicon_path=FAVICON,
        i18n=page_translations(),
    )
