"""What the page of a running cell asks for: composed pictures, the state, one camera."""

from __future__ import annotations

import threading

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.endpoint.status_json import json_from_camera, json_from_status
from photofinish.client.cameras.values.status import CameraStatus
from photofinish.client.ui.cameras.mosaic import MAX_TILES, MOSAIC_LAYOUTS, grid_for
from photofinish.client.ui.cameras.show import PictureHub, stream_of_camera
from photofinish.client.ui.page.server import MJPEG_HEADERS, MJPEG_TYPE, mjpeg_parts

_NO_STORE = {"Cache-Control": "no-store"}


def add_camera_routes(app: FastAPI, board: CellBoard, hub: PictureHub, stop: threading.Event) -> None:
    """Serve pictures and state; streams end when `stop` is set. No address is absolute: a proxy may stand between."""

    def stream(name: str) -> Response:
        return StreamingResponse(mjpeg_parts(hub, name, stop), media_type=MJPEG_TYPE, headers=MJPEG_HEADERS)

    def row_of(camera: str) -> CameraStatus | None:
        status = board.status
        return next((row for row in status.cameras if row.camera == camera), None) if status else None

    @app.get("/cameras/mosaic.mjpg")
    async def mosaic(layout: str = MOSAIC_LAYOUTS[0]) -> Response:
        if layout not in MOSAIC_LAYOUTS:
            return JSONResponse({"error": f"layout must be of {list(MOSAIC_LAYOUTS)}"}, status_code=422)
        return stream(layout)

    @app.get("/cameras/picture.mjpg")
    async def picture(camera: str) -> Response:
        if row_of(camera) is None:
            return JSONResponse({"error": "there is no such camera"}, status_code=404)
        return stream(stream_of_camera(camera))

    @app.get("/cameras/state")
    async def state() -> Response:
        status = board.status
        if status is None:
            return JSONResponse({"cameras": [], "starting": True}, headers=_NO_STORE)
        count = min(len(status.cameras), MAX_TILES)
        grids = {layout: grid_for(count, layout) for layout in MOSAIC_LAYOUTS}
        shown = {layout: {"columns": grid.columns, "rows": grid.rows} for layout, grid in grids.items()}
        silence_s = board.silence_s
        document = {**json_from_status(status), "grids": shown, "tiles": count, "silence_s": silence_s}
        return JSONResponse(document, headers=_NO_STORE)

    @app.get("/cameras/camera")
    async def camera(name: str) -> Response:
        row = row_of(name)
        if row is None:
            return JSONResponse({"error": "there is no such camera"}, status_code=404)
        spans = [
            {
                "at_unix_ns": span.at_unix_ns,
                "seconds": span.seconds,
                "inferred": span.inferred,
                "dropped": {cause.value: count for cause, count in span.dropped.items()},
            }
            for span in board.spans(name)
        ]
        return JSONResponse({**json_from_camera(row, with_lines=True), "spans": spans}, headers=_NO_STORE)
