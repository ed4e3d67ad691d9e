"""The addresses of "Folders and videos": a video comes up, its progress is asked for, two files go down."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.requests import Request

from photofinish.client.ui.owner import Owner
from photofinish.client.ui.picture.bounds import RefusedError, bounded_chunks
from photofinish.client.ui.picture.routes import NO_STORE, refusal
from photofinish.client.ui.picture.videos import MAX_VIDEO_BYTES, VideoDesk

VIDEOS_PATH = "/videos"
MEDIA_TYPES = {".mp4": "video/mp4", ".jsonl": "application/x-ndjson"}


def add_video_routes(app: FastAPI, desk: VideoDesk, owner: Owner) -> None:
    """Serve them. A job is known to who was given its token, and to nobody else; a visitor's gives way to the owner."""

    @app.post(VIDEOS_PATH)
    async def upload(request: Request, every: int = 1) -> Response:
        try:
            job = desk.open(every, yields=not owner.is_owner(request))
            try:
                with job.video_path.open("wb") as file:
                    async for piece in bounded_chunks(request, MAX_VIDEO_BYTES):
                        file.write(piece)
                await run_in_threadpool(lambda: desk.look_at(job))
            except BaseException:
                desk.drop(job.token)
                raise
        except RefusedError as exc:
            return refusal(exc)
        except OSError as exc:  # a full disk, or no process to be had
            return refusal(RefusedError(507, "picture.problem.no_room", message=exc.strerror or str(exc)))
        return JSONResponse({"token": job.token}, headers=NO_STORE)

    @app.get(f"{VIDEOS_PATH}/{{token}}")
    async def progress(token: str) -> Response:
        try:
            return JSONResponse(desk.document(token), headers=NO_STORE)
        except RefusedError as exc:
            return refusal(exc)

    @app.delete(f"{VIDEOS_PATH}/{{token}}")
    async def forget(token: str) -> Response:
        await run_in_threadpool(lambda: desk.drop(token))
        return JSONResponse({}, headers=NO_STORE)

    @app.get(f"{VIDEOS_PATH}/{{token}}/{{name}}")
    async def file(token: str, name: str) -> Response:
        try:
            path = desk.file(token, name)
        except RefusedError as exc:
            return refusal(exc)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], filename=f"photofinish-{name}",
                            content_disposition_type="inline", headers=NO_STORE)  # fmt: skip
