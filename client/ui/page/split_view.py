"""The running split view: one source process, one process per side, one composed picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from photofinish.client.sources.opening import is_present
from photofinish.client.sources.synthetic import is_synthetic
from photofinish.client.ui.page.composer import Composer, FrameHub
from photofinish.client.ui.page.machine import MachineFacts, MemoryMeter, MemoryReading, machine_facts
from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.page.other_work import OtherWork
from photofinish.client.ui.page.why.known import MachineRecord, Recall, Recollection, nothing_measured
from photofinish.client.ui.processes.board import Board, BoardMemory, SideNumbers, numbers_from_board
from photofinish.client.ui.processes.child import ChildStatus, SupervisedChild
from photofinish.client.ui.processes.scribe import PANEL_WH
from photofinish.client.ui.processes.shelf import ServedShelf, Shelf
from photofinish.client.ui.processes.side import SIDES, Side, SideSpec, SideWork
from photofinish.client.ui.processes.slots import FRAME_PIXELS, PictureMemory, PictureReader
from photofinish.client.ui.processes.source import Pace, SourceWork
from photofinish.client.ui.processes.turns import TurnKeeper, TurnMode, TurnSeat
from photofinish.client.ui.words import WordedError
from photofinish.machine.addresses import is_loopback
from photofinish.model_card import ModelCard

STALE_AFTER_S = 2.0
"""A side without a result for so long shows a dimmed picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What runs: a source and one served model per side."""

    source: str = field(repr=False)  # may hold a password
    baseline: str
    optimised: str
    pace: Pace = "free"
    turns: TurnMode = "auto"

    @property
    def is_paced(self) -> bool:
        """Whether frames come at a camera's rate: chosen, or because the source is a camera or a stream."""
        is_replay = is_synthetic(self.source) or is_present(self.source)
        is_camera = self.source.isdigit() or self.source.startswith("/dev/")
        return self.pace == "camera" or is_camera or not is_replay

    @property
    def source_pace(self) -> Pace:
        """How the source is opened, so that a recording on the web comes as both sides expect it."""
        return "camera" if self.is_paced else "free"

    def model_name(self, side: Side) -> str:
        """The model of that side."""
        return self.baseline if side == "baseline" else self.optimised


@dataclass(frozen=True, slots=True, kw_only=True)
class SideState:
    """One side at one moment."""

    model_name: str
    child: ChildStatus
    numbers: SideNumbers
    memory: MemoryReading
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """The whole view at one moment. other_cores: how many cores other programs use, None when nobody knows.

    other_programs: which those are most, with the cores of each. is_paused: both sides stand still for a measurement.
    record: what was measured here before, None while it is looked for. is_server_recovering: as the shelf says.
    """

    choice: Choice
    machine: MachineFacts
    source: ChildStatus
    sides: Mapping[Side, SideState]
    other_cores: float | None = None
    other_programs: str = ""
    is_paused: bool = False
    is_server_recovering: bool = False
    record: MachineRecord | None = None

    @property
    def takes_turns(self) -> bool:
        """Whether the sides work one at a time."""
        return any(side.child.facts.get("takes_turns") for side in self.sides.values())

    @property
    def cores_a_side(self) -> int:
        """How many cores each side has of its own; 0 where they share all."""
        return min(int(side.child.facts.get("cores", 0)) for side in self.sides.values())


class SplitView:
    """Runs both sides until closed. Choosing something else restarts all three processes.

    A process that dies is started again; the reason stands in `state`.
    """

    def __init__(
        self,
        url: str,
        choice: Choice,
        *,
        http_url: str | None = None,
        metrics_url: str | None = None,
        give_up_s: float = 600.0,
        shelf: Shelf | None = None,
        recall: Recall = nothing_measured,
    ) -> None:
        """url: the server's gRPC address; http_url, metrics_url: its other endpoints where they are known.

        shelf: more variants than the server has loaded, None: there are none. recall: what was measured here before.
        """
        self._recollection = Recollection(recall)
        self.url = url
        self._shelf: Shelf = shelf or ServedShelf(url)
        self.metrics_url = metrics_url
        self._http_url = http_url
        self.hub = FrameHub()
        self._choice = choice
        self._give_up_s = give_up_s
        self._frames = PictureMemory(max_pixels=FRAME_PIXELS)
        self._panels = {side: PictureMemory(max_pixels=PANEL_WH[0] * PANEL_WH[1]) for side in SIDES}
        self._board_memory = {side: BoardMemory() for side in SIDES}
        self.boards: Mapping[Side, Board] = {side: Board(self._board_memory[side]) for side in SIDES}
        self._machine = machine_facts() if is_loopback(url) else MachineFacts(server=url)
        self._memory = MemoryMeter(url, metrics_url)
        self._other_work = OtherWork(lambda: (self._choice.baseline, self._choice.optimised))
        readers = {side: PictureReader(self._panels[side]) for side in SIDES}
        self._composer = Composer(readers, self.boards, self.hub, is_live=self.is_live)
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_paused = False
        self.machine_use = MachineUse()
        self._children: dict[str, SupervisedChild] = {}
        self._resources = ExitStack()

    def __enter__(self) -> SplitView:
        """Start everything; returns at once, `state` tells how far it is."""
        with ExitStack() as stack:
            stack.enter_context(self._memory)
            stack.enter_context(self._composer)
            stack.callback(self._close_children)
            self._start_children()
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End every process and thread."""
        self._resources.close()

    @property
    def choice(self) -> Choice:
        """What runs now."""
        return self._choice

    def cards(self) -> Mapping[str, ModelCard]:
        """Every variant that can be chosen, by name. Raises what asking the server raises."""
        return self._shelf.cards()

    def choose(self, choice: Choice) -> None:
        """Run something else, or the same from the beginning; nothing once the view has closed.

        PhotofinishError for other variants while something is measured, as the server would begin anew under it, and
        where they cannot be loaded; what ran before then begins anew.
        """
        with self._lock:
            if self._is_closed:
                return
            if self._is_paused and any(choice.model_name(side) != self._choice.model_name(side) for side in SIDES):
                raise WordedError("page.reserved.choosing")
            self._stop_children()
            try:
                if not self._is_paused:  # what is measured is loaded, in its own way
                    self._shelf.load((choice.baseline, choice.optimised))
                self._choice = choice
            finally:
                self._begin_anew()

    @contextmanager
    def paused(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Both sides and the source stand still while the block runs, for one at a time that wants the machine.

        The models have all cores. stop and what it raises: as of `machine_use.alone`; PhotofinishError where the models
        cannot be had on all cores.
        """
        with self.machine_use.alone(stop):
            with self._lock:
                self._is_paused = True
                self._stop_children()
            try:
                with self._shelf.all_cores():
                    yield
            finally:
                with self._lock:
                    self._is_paused = False
                    self._recollection.forget()
                    if not self._is_closed:
                        self._begin_anew()

    def _begin_anew(self) -> None:
        for board in self.boards.values():
            board.reset()
        self._frames.forget()
        self._composer.clear()
        if not self._is_paused:
            self._start_children()

    def is_server_recovering(self) -> bool:
        """Whether the server ended by itself, and is being started again or was a moment ago."""
        return self._shelf.is_recovering()

    def is_live(self, side: Side) -> bool:
        """Whether that side finished a frame in the last STALE_AFTER_S seconds."""
        return bool(len(self.boards[side].samples_since(time.perf_counter_ns() - int(STALE_AFTER_S * 1e9))))

    def state(self) -> ViewState:
        """How everything is now."""
        now_ns = time.perf_counter_ns()
        choice, children = self._choice, self._children
        source = children["source"].status
        offered_per_s = source.facts.get("frames_per_s") if choice.is_paced else None
        return ViewState(
            choice=choice,
            machine=self._machine,
            source=source,
            other_cores=self._other_work.cores() if is_loopback(self.url) else None,
            other_programs=self._other_work.programs(),
            is_paused=self._is_paused,
            is_server_recovering=self.is_server_recovering(),
            record=self._recollected(children["optimised"]),
            sides={
                side: SideState(
                    model_name=choice.model_name(side),
                    child=children[side].status,
                    numbers=numbers_from_board(self.boards[side], now_ns, offered_per_s=offered_per_s),
                    memory=self._memory.reading(choice.model_name(side)),
                    is_live=self.is_live(side),
                )
                for side in SIDES
            },
        )

    def _recollected(self, optimised: SupervisedChild) -> MachineRecord | None:
        card = optimised.status.facts.get("card")
        return self._recollection.of(card.variant, card.weights_sha256) if isinstance(card, ModelCard) else None

    def _start_children(self) -> None:
        choice = self._choice
        self._memory.watch((choice.baseline, choice.optimised))
        child = partial(SupervisedChild, give_up_s=self._give_up_s)
        source = SourceWork(source=choice.source, pace=choice.source_pace, frames=self._frames)
        children = {"source": child("the source", source)}
        keeper = TurnKeeper()
        others: Mapping[Side, Side] = {"baseline": "optimised", "optimised": "baseline"}
        for side in SIDES:
            spec = SideSpec(
                side=side,
                url=self.url,
                http_url=self._http_url,
                model_name=choice.model_name(side),
                other_model=choice.model_name(others[side]),
                is_paced=choice.is_paced,
                turns=choice.turns,
                cores=tuple(self._shelf.cores(choice.model_name(side))),
            )
            work = SideWork(spec=spec, frames=self._frames, panel=self._panels[side], board=self._board_memory[side])
            children[side] = child(f"the {side} process", work, requests=TurnSeat(keeper, side))
        self._children = children
        for started in children.values():
            started.__enter__()

    def _close_children(self) -> None:
        with self._lock:
            self._is_closed = True
            self._stop_children()

    def _stop_children(self) -> None:
        for child in self._children.values():
            child.begin_close()
        for child in self._children.values():
            child.__exit__(None, None, None)
