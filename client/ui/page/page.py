"""The Gradio page: the view, and beneath it what to choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from photofinish.address.hiding import public_address
from photofinish.client.choosing.preference import baselines, candidates
from photofinish.client.ui.page.choosing import served_cards
from photofinish.client.ui.page.split_view import SplitView
from photofinish.client.ui.processes.side import SIDES
from photofinish.client.ui.processes.source import Pace
from photofinish.errors import PhotofinishError

ASSETS = Path(__file__).resolve().parent / "assets"
PACES: dict[str, Pace] = {"as fast as possible": "free", "at the camera's rate": "camera"}


def view_html() -> str:
    """The static part of the page; assets/view.js fills it."""
    page = (ASSETS / "view.html").read_text(encoding="utf-8")
    side_block = (ASSETS / "side.html").read_text(encoding="utf-8")
    for side in SIDES:
        page = page.replace(f"<!--side:{side}-->", side_block.replace("SIDE", side))
    return page


def page_theme() -> gr.themes.Base:
    """A dark theme with the machine's own fonts: nothing is fetched from elsewhere."""
    fonts = [gr.themes.Font(name) for name in ("system-ui", "sans-serif")]
    return gr.themes.Base(primary_hue="sky", neutral_hue="slate", font=fonts, font_mono=[gr.themes.Font("monospace")])


def build_page(view: SplitView, *, is_public: bool) -> gr.Blocks:
    """The page. is_public: others can reach it, so they may name no file or camera of this machine."""
    cameras = () if is_public else tuple(str(path) for path in sorted(Path("/dev").glob("video*")))
    sources = {public_address(source): source for source in (view.choice.source, "synthetic", *cameras)}

    def refresh() -> tuple[Any, Any, Any, Any]:
        choice = view.choice
        try:
            cards = served_cards(view.url)
            left, right = baselines(cards), candidates(cards)
        except PhotofinishError as exc:
            gr.Warning(str(exc))
            left, right = [choice.baseline], [choice.optimised]
        pace = next(text for text, value in PACES.items() if value == choice.pace)
        return (
            gr.Dropdown(value=public_address(choice.source)),
            gr.Dropdown(choices=_with(left, choice.baseline), value=choice.baseline),
            gr.Dropdown(choices=_with(right, choice.optimised), value=choice.optimised),
            gr.Dropdown(value=pace),
        )

    def start(source: str, baseline: str, optimised: str, pace: str) -> None:
        if is_public and source not in sources:
            raise gr.Error(f"Choose one of the sources {', '.join(sources)}: this page is shared.")
        known = {**sources, public_address(view.choice.source): view.choice.source}
        chosen = known.get(source, source.strip())
        view.choose(replace(view.choice, source=chosen, baseline=baseline, optimised=optimised, pace=PACES[pace]))

    with gr.Blocks(title="Photofinish", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(view_html(), padding=False)
        with gr.Row(elem_id="pf-controls"):
            source = gr.Dropdown(
                list(sources), value=next(iter(sources)), label="Source", allow_custom_value=not is_public,
                info=None if is_public else "synthetic, a file, a camera number or rtsp://",
            )  # fmt: skip
            baseline = gr.Dropdown([view.choice.baseline], value=view.choice.baseline, label="Baseline")
            optimised = gr.Dropdown([view.choice.optimised], value=view.choice.optimised, label="Optimised")
            pace = gr.Dropdown(list(PACES), label="Frames come")
            button = gr.Button("Start", variant="primary", scale=0, min_width=110)
        chosen = [source, baseline, optimised, pace]
        button.click(start, chosen, None, api_name="start", concurrency_limit=1)
        page.load(refresh, None, chosen, api_name=False)
    return page


def _with(names: list[str], chosen: str) -> list[str]:
    """`names`, with the chosen one even if the server no longer serves it."""
    return names if chosen in names else [*names, chosen]


def view_script() -> str:
    """What the split view's page runs."""
    return (ASSETS / "view.js").read_text(encoding="utf-8")


def mount_page(
    app: Any, page: gr.Blocks, *, root_path: str = "", style: Path = ASSETS / "view.css", script: str | None = None
) -> Any:
    """`app` with a page at its root, by default the split view's. root_path: where a proxy serves it, such as /cam."""
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=page_theme(),
        css_paths=style,
        head=f"<script>{view_script() if script is None else script}</script>",
        footer_links=[],
        max_file_size=1,  # Gradio takes uploads on every page; this one needs none
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        root_path=root_path or None,
        pwa=False,
    )
