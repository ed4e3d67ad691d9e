"""What stands beside the split view: each panel is a tab of its own, built by its own room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from gradio.i18n import I18nData

from photofinish.client.ui.owner import Owner
from photofinish.client.ui.page.split_view import SplitView
from photofinish.client.ui.words import COOKIE, LANGUAGES, Language, PageWords, flat_words, language_from_request

GRADIO_LOCALES = {"en": ("en",), "zh": ("zh", "zh-CN")}
"""Under which names Gradio looks for our words, by language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelContext:
    """What a panel is built from.

    view: the running split view; `with view.paused():` keeps all else from the machine for a while,
    `with view.machine_use.beside():` is for works beside the live view, and refused meanwhile.
    is_public: others can reach the page, so they may name no file or camera of this machine. app: takes a panel's own
    routes, below /KEY/, of which no address on the page may be absolute. stop: set when the page closes.
    asked: the language of --lang, None where the browser's is followed. resources: what a panel enters here is closed
    with the page, before the view. owner: tells who may start what only the owner may.
    """

    view: SplitView
    is_public: bool
    app: FastAPI
    stop: threading.Event
    asked: Language | None = None
    resources: ExitStack = field(default_factory=ExitStack)
    owner: Owner = field(default_factory=lambda: Owner(is_public=False))

    def label(self, path: str) -> I18nData:
        """A word for a component's label, info, placeholder, title, value or choice; the browser translates it."""
        if not PageWords("en").has(path):
            raise KeyError(f"no word {path} in any words.json")
        return I18nData(path)

    def words(self, request: gr.Request | None) -> PageWords:
        """The words for what Python says in answer to a request, in the language of the page that it came from."""
        if request is None or not hasattr(request, "request"):
            return PageWords(self.asked or "en")
        headers = request.headers
        return PageWords(
            language_from_request(request.cookies.get(COOKIE), headers.get("accept-language", ""), self.asked)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePanel:
    """One tab. key: its room's name, and the id of the tab; title: the path of its word.

    build: fills the tab, called once with the page's context. script, style: JavaScript and CSS of its own.
    """

    key: str
    title: str
    build: Callable[[PanelContext], None]
    script: Path | None = None
    style: Path | None = None


def page_translations() -> gr.I18n:
    """Every word of ours as Gradio takes it."""
    return gr.I18n(
        **{locale: dict(flat_words(language)) for language in LANGUAGES for locale in GRADIO_LOCALES[language]}
    )


def build_panels(panels: Sequence[PagePanel], context: PanelContext) -> None:
    """A tab for each panel, inside the page's tabs."""
    for panel in panels:
        with gr.Tab(context.label(panel.title), id=panel.key, elem_id=f"pf-tab-{panel.key}"):
            panel.build(context)
