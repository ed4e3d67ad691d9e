"""What to choose beneath the view: source, network, a variant for each side, pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from photofinish.address.hiding import public_address
from photofinish.client.choosing.networks import Network, networks_from_cards
from photofinish.client.choosing.preference import baselines, candidates
from photofinish.client.ui.page.panels import PanelContext
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.processes.source import Pace
from photofinish.client.ui.words import said
from photofinish.errors import PhotofinishError
from photofinish.model_card import ModelCard

PACES: tuple[Pace, ...] = ("free", "camera")
TASK = "detect"


def build_controls(page: gr.Blocks, context: PanelContext) -> None:
    """The row of choices. On a public page nobody names a file or camera of this machine."""
    view, label = context.view, context.label
    cameras = () if context.is_public else tuple(str(path) for path in sorted(Path("/dev").glob("video*")))
    sources = {public_address(source): source for source in (view.choice.source, "synthetic", *cameras)}

    def known_cards() -> Mapping[str, ModelCard]:
        try:
            return view.cards()
        except PhotofinishError as exc:
            gr.Warning(str(exc))
            return {}

    def refresh() -> tuple[Any, ...]:
        choice, cards = view.choice, known_cards()
        networks = pairs_from_cards(cards)
        own = next((item for item in networks if choice.optimised in item.names), None)
        left, right = sides_of(own, cards) if own else ([], [])
        shown = [(item.text, item.text) for item in networks]
        return (
            gr.Dropdown(value=public_address(choice.source)),
            gr.Dropdown(choices=shown, value=own.text if own else None, visible=len(networks) > 1),
            gr.Dropdown(choices=_with(left, choice.baseline), value=choice.baseline),
            gr.Dropdown(choices=_with(right, choice.optimised), value=choice.optimised),
            gr.Dropdown(value=choice.pace),
        )

    def change_network(text: str) -> tuple[Any, Any]:
        """Both sides move: one run has one network."""
        cards = known_cards()
        network = next((item for item in pairs_from_cards(cards) if item.text == text), None)
        if network is None:
            return gr.skip(), gr.skip()
        left, right = sides_of(network, cards)
        return gr.Dropdown(choices=left, value=left[0]), gr.Dropdown(choices=right, value=right[0])

    def start(source: str, baseline: str, optimised: str, pace: Pace, request: gr.Request) -> None:
        if context.is_public and source not in sources:
            raise gr.Error(context.words(request)("page.choose.shared", sources=", ".join(sources)))
        known = {**sources, public_address(view.choice.source): view.choice.source}
        chosen = known.get(source, source.strip())
        wanted: Choice = replace(view.choice, source=chosen, baseline=baseline, optimised=optimised, pace=pace)
        try:
            view.choose(wanted)
        except PhotofinishError as exc:
            raise gr.Error(said(exc, context.words(request))) from exc

    with gr.Row(elem_id="pf-controls"):
        source = gr.Dropdown(
            list(sources), value=next(iter(sources)), label=label("page.choose.source"),
            allow_custom_value=not context.is_public,
        )  # fmt: skip
        network = gr.Dropdown([], label=label("page.choose.model"), visible=False)
        baseline = gr.Dropdown([view.choice.baseline], value=view.choice.baseline, label=label("page.baseline"))
        optimised = gr.Dropdown([view.choice.optimised], value=view.choice.optimised, label=label("page.optimised"))
        paces = [(label(f"page.choose.{pace}"), pace) for pace in PACES]
        pace = gr.Dropdown(paces, value=view.choice.pace, label=label("page.choose.pace"))
        button = gr.Button(label("page.choose.start"), variant="primary", scale=0, min_width=110)
    button.click(start, [source, baseline, optimised, pace], None, api_name="start", concurrency_limit=1)
    network.input(change_network, network, [baseline, optimised], api_name=False)
    page.load(refresh, None, [source, network, baseline, optimised, pace], api_name=False)


def pairs_from_cards(cards: Mapping[str, ModelCard]) -> list[Network]:
    """The networks that can be shown on both sides: detectors with two variants or more."""
    return [item for item in networks_from_cards(cards) if item.task == TASK and len(item.names) > 1]


def sides_of(network: Network, cards: Mapping[str, ModelCard]) -> tuple[list[str], list[str]]:
    """A network's variants for either side, best first."""
    own = {name: cards[name] for name in network.names}
    return baselines(own), candidates(own)


def _with(names: list[str], chosen: str) -> list[str]:
    """`names`, with the chosen one even if the server no longer serves it."""
    return names if chosen in names else [*names, chosen]
