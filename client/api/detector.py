"""The Python API: a served detector that is called like a function."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from photofinish.client.api.found import Found, found_from_parts
from photofinish.client.api.inputs import GivenPicture, picture_from_input
from photofinish.client.choosing.crops import CROP_LIMIT, CROP_SIDE, CropChoice, choose_crops, crop_choice_from_text
from photofinish.client.detect.telling import picture_name
from photofinish.client.native.library import native_client
from photofinish.client.pipeline.joint import part_from_answer, require_an_answer
from photofinish.client.pipeline.opening import choose_models
from photofinish.client.pipeline.part import FramePart
from photofinish.client.pipeline.reader import FrameReader
from photofinish.client.pipeline.second_look import SecondLook
from photofinish.client.pipeline.workers import OrderedWorkers
from photofinish.client.sources.opening import open_source
from photofinish.client.triton.joint import JointSession
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.transport import choice_from_text
from photofinish.detections import SHOWN_CONFIDENCE, Detections
from photofinish.errors import ConfigError, InferenceError
from photofinish.frame import Frame
from photofinish.heads import detections_from_output
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard

SLOTS = 2
"""Requests in flight: the second is prepared while the first is with the server."""
_log = logging.getLogger(__name__)


class Detector:
    """A detector of a running server: `Detector("127.0.0.1:8001")("bus.jpg")`. A context manager.

    Calling it takes a picture, and gives a `Found`, or a list of pictures, which travel in batches, and gives a list.
    A picture is a file's path, an array (height, width, 3) of uint8 with blue first, as `cv2.imread` gives it, or a
    PIL image; a PIL image is taken as it lies, without the turn that its EXIF asks for. `frames` goes through a
    folder, a video, a camera or a stream.

    Any number of threads may share one: SLOTS requests are in flight at most, further callers wait for their turn.
    A process that was forked needs one of its own. All failures are PhotofinishErrors.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        variant: str | None = None,
        model: str | None = None,
        confidence: float = SHOWN_CONFIDENCE,
        batch_size: int = 8,
        transport: str = "auto",
        timeout_s: float = 10.0,
        with_models: Sequence[str] = (),
        crops: Sequence[str] = (),
        crop_limit: int = CROP_LIMIT,
        crop_side: int = CROP_SIDE,
        crop_margin: float = 0.0,
        on_notice: Callable[[str], None] = _log.warning,
    ) -> None:
        """Connect and choose. url: host:port of gRPC.

        variant, by full name or suffix such as `onnx_fp16`, and model: as on the command line; without them the best
        variant of the network that was exported last, and on_notice is told when there are others. confidence: the
        least score of a box that is given. batch_size: pictures of a list in one request, as many as the model takes
        at most. timeout_s: for each request, and for all crops of a picture. with_models: further models, or variants
        of them, that look at the same pictures at the same time; what each found is in `Found.parts`. crops: models
        that look at the first one's boxes, each `MODEL` or `MODEL:class,class`, at crop_limit boxes of a picture at
        most and at none with a side under crop_side pixels, each larger by crop_margin of its width and height at
        each side. on_notice: hears what else is to know; by default a warning of `logging`.

        Raises ServerUnavailableError, ModelNotFoundError or ConfigError.
        """
        if not 0 <= confidence <= 1 or batch_size < 1:
            raise ConfigError(
                f"confidence must lie within 0..1 and batch_size be at least 1, got {confidence} and {batch_size}"
            )
        self.url = url
        self.confidence = confidence
        self._on_notice = on_notice
        with TritonClient(url, timeout_s=timeout_s) as client:
            models = {item.name: item for item in client.models()}
        cards = {name: item.card for name, item in models.items()}
        for option, given in (("with_models", with_models), ("crops", crops)):
            if isinstance(given, str):
                raise ConfigError(f"{option} must be a list of names, got {given!r}; give [{given!r}]")
        wanted = [
            crop_choice_from_text(text, limit=crop_limit, min_side=crop_side, margin=crop_margin) for text in crops
        ]
        names = choose_models(cards, variant, with_models, where=url, model=model, crops=wanted, on_notice=on_notice)
        choices = choose_crops(cards, names, wanted, where=url)
        self._models = tuple(models[name] for name in names)
        self._cards = tuple(item.require_card() for item in self._models)
        for item, card in zip(self._models, self._cards, strict=True):
            if card.untrained:
                on_notice(f"{item.name} is untrained: its boxes mean nothing")
        self._native = native_client(on_notice)
        self._session = JointSession(
            url,
            self._models,
            transport=choice_from_text(transport),
            slots=SLOTS,
            batch_size=batch_size,
            timeout_s=timeout_s,
            on_notice=on_notice,
        )
        self._second = self._second_look(url, choices, timeout_s) if choices else None
        self._seats = threading.Semaphore(SLOTS)
        self._closing = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Detector:
        """The detector itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; see `close`."""
        self.close()

    def close(self) -> None:
        """Wait for what is in flight, then give the memory and the connection back. A second call does nothing."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            for _ in range(SLOTS):
                self._seats.acquire()
            self._session.close()
            if self._second:
                self._second.close()
            self._seats.release(SLOTS)  # who waits now is told that it is closed

    @property
    def variant(self) -> str:
        """The served model that answers."""
        return self._models[0].name

    @property
    def model(self) -> ServedModel:
        """What the server says of it."""
        return self._models[0]

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """All that look at each picture, or at its crops; `model` is the first."""
        return self._models + (self._second.models if self._second else ())

    @property
    def card(self) -> ModelCard:
        """Its weights, precision, class names and measured accuracy."""
        return self._cards[0]

    @overload
    def __call__(self, pictures: list[Any] | tuple[Any, ...]) -> list[Found]: ...

    @overload
    def __call__(self, pictures: Any) -> Found: ...

    def __call__(self, pictures: Any) -> Found | list[Found]:
        """What is found in a picture; of a list or tuple of pictures a list, in their order.

        Raises SourceError for what is no picture, InferenceError when the server does not answer as it should.
        """
        if not isinstance(pictures, list | tuple):
            picture = picture_from_input(pictures, "the picture")
            return self._found([picture], keep=True)[0]
        found: list[Found] = []
        size = self._session.batch_size
        for begin in range(0, len(pictures), size):
            batch = [
                picture_from_input(given, f"picture {begin + number}")
                for number, given in enumerate(pictures[begin : begin + size])
            ]
            found += self._found(batch, keep=False)
        return found

    def frames(self, source: str | os.PathLike[str] | int) -> Generator[Found, None, None]:
        """One Found for each frame of a folder, video, camera or stream, in order; read ahead while the server works.

        source: whatever `photofinish detect` takes, `synthetic` and the number of a camera too. Of a live source the
        newest frame is taken, and `index` has a gap where others passed. Pictures of a folder that cannot be read are
        told and left out.
        Leaving the loop, or closing the generator, gives the source back. Raises SourceError, InferenceError.
        """
        with open_source(str(source), on_notice=self._on_notice) as opened:

            def work(frame: Frame) -> Found:
                return self._found_in_frame(frame, picture_name(opened, frame.index))

            reader = FrameReader(opened.frames(), drop_late=opened.is_live, on_read=_pass, on_late=_pass)
            workers = OrderedWorkers(reader.get, work, count=SLOTS)
            try:
                for _, outcome in workers.outcomes():
                    if isinstance(outcome, BaseException):
                        raise outcome
                    yield outcome
            finally:
                workers.stop()
                reader.stop()
                workers.join()

    def _found_in_frame(self, frame: Frame, name: str) -> Found:
        picture = GivenPicture(name=name, image_hwc_bgr=frame.image_hwc_bgr)
        seconds = None if frame.presented_ns is None else frame.presented_ns / 1e9
        return self._found([picture], keep=True, index=frame.index, presented_s=seconds)[0]

    def _found(
        self, pictures: Sequence[GivenPicture], *, keep: bool, index: int = 0, presented_s: float | None = None
    ) -> list[Found]:
        """One request with these pictures, at most a batch. keep: hold a file's pixels, too, not only its path."""
        letterboxes: list[tuple[Letterbox, ...]] = []

        def decode(number: int, output: npt.NDArray[np.float32]) -> list[Detections]:
            card, least = self._cards[number], self.confidence
            return [
                detections_from_output(rows, card, seen[number], min_confidence=least, read_rows=self._native.read_rows)
                for rows, seen in zip(output, letterboxes, strict=False)
            ]

        with self._seat():
            slot = self._session.acquire()
            try:
                for row, item in enumerate(pictures):
                    letterboxes.append(
                        self._session.write(slot, item.image_hwc_bgr, row=row, resize=self._native.resize)
                    )
                answers = self._session.infer(slot, decode, len(pictures))
            finally:
                self._session.release(slot)
            require_an_answer(answers)
            seconds = self._second_parts(pictures, answers[0].result)
        given = []
        for row, item in enumerate(pictures):
            parts = [
                part_from_answer(model, answer, answer.result[row] if answer.result else None)
                for model, answer in zip(self._models, answers, strict=True)
            ]
            given.append(
                found_from_parts(
                    (*parts, *seconds[row]),
                    picture=item.name,
                    size_wh=letterboxes[row][0].source_wh,
                    source=item.path if item.path is not None and not keep else item.image_hwc_bgr,
                    index=index,
                    presented_s=presented_s,
                )
            )
        return given

    def _second_parts(
        self, pictures: Sequence[GivenPicture], found: list[Detections] | None
    ) -> list[tuple[FramePart, ...]]:
        """What models that look at crops say of each picture."""
        if self._second is None:
            return [()] * len(pictures)
        if found is None:
            return [self._second.parts_without_look(self.card.model)] * len(pictures)
        return self._second.look([(item.image_hwc_bgr, boxes) for item, boxes in zip(pictures, found, strict=True)])

    def _second_look(self, url: str, choices: Sequence[CropChoice], timeout_s: float) -> SecondLook:
        try:
            return SecondLook(
                url,
                choices,
                self.card,
                native=self._native,
                transport=self._session.transport,
                slots=SLOTS,
                min_confidence=self.confidence,
                timeout_s=timeout_s,
                on_notice=self._on_notice,
            )
        except BaseException:
            self._session.close()
            raise

    @contextmanager
    def _seat(self) -> Iterator[None]:
        """A turn at the server. Whoever has one gives it back within the deadline of a request, so all come to one."""
        with self._seats:
            if self._is_closed:
                raise InferenceError("the detector is closed", model=self.variant, url=self.url)
            yield


def _pass(frame: Frame) -> None:
    """Frames are not counted here."""
