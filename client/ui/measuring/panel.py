"""The tab "Measure properly"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from photofinish.client.ui.measuring.measurement import Measurement, subject_of
from photofinish.client.ui.measuring.routes import add_measuring_routes
from photofinish.client.ui.measuring.runs import KeptRuns
from photofinish.client.ui.page.panels import PagePanel, PanelContext

ASSETS = Path(__file__).resolve().parent / "assets"


def measurement_of(context: PanelContext) -> Measurement:
    """What measures the view's two variants with `photofinish perf comparison`, while the view stands still."""
    view = context.view
    return Measurement(KeptRuns(), lambda: subject_of(view.url, view.metrics_url, view.choice), view.paused)


def build_measuring_panel(
    context: PanelContext, *, measures: Callable[[PanelContext], Measurement] = measurement_of
) -> None:
    """The tab, and its routes."""
    measurement = context.resources.enter_context(measures(context))
    add_measuring_routes(context.app, measurement, context.owner)
    gr.HTML((ASSETS / "measuring.html").read_text(encoding="utf-8"), padding=False)


MEASURING_PANEL = PagePanel(
    key="measuring",
    title="measuring.tab",
    build=build_measuring_panel,
    script=ASSETS / "measuring.js",
    style=ASSETS / "measuring.css",
)
