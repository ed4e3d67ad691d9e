"""The servers of a cell: one for each GPU that infers, ours or the user's, and one where there is no GPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from photofinish.client.cameras.supervise.gpus import DecodePlan
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.errors import ConfigError
from photofinish.export.publishing.cards import CONFIG_NAME
from photofinish.model_card import ModelCard
from photofinish.server.triton.embedded import EmbeddedServer
from photofinish.server.triton.process import default_log_path

_GPUS = re.compile(r"^ *gpus: \[([\d, ]+)\]", re.MULTILINE)


def own_servers(
    repository: Path, name: str, card: ModelCard | None, decoding: DecodePlan, on_notice: Callable[[str], None]
) -> list[EmbeddedServer]:
    """A server with the model for each GPU that infers, none of them started yet.

    card: None for a model without one of ours. A model on the CPU gains nothing by a second server, so it has one,
    except in a rehearsal. Raises ConfigError for a model that names GPUs which a server of one does not see.
    """
    is_on_gpu = card is None or card.device == "cuda"
    numbers: Sequence[int] = decoding.numbers if is_on_gpu or decoding.is_rehearsed else ()
    pinned = is_on_gpu and not decoding.is_rehearsed
    if pinned and numbers and (named := [gpu for gpu in gpus_named_in(repository / name) if gpu]):
        raise ConfigError(
            f"{name} names GPU {' and '.join(map(str, named))} in its config.pbtxt, and each GPU's server counts its "
            "own as 0; export it again without --gpus, and say --gpus here"
        )
    return [
        EmbeddedServer(
            repository,
            models=(name,),
            gpu=number if pinned else None,
            log_path=log_of_place(place, number),
            on_progress=on_notice,
        )
        for place, number in enumerate(numbers or (None,))
    ]


def gpus_named_in(directory: Path) -> list[int]:
    """The GPUs on which a model's config.pbtxt wants instances, as `export --gpus` wrote them; [] for any."""
    try:
        found = _GPUS.search((directory / CONFIG_NAME).read_text(encoding="utf-8"))
    except OSError:
        return []
    return [int(number) for number in re.findall(r"\d+", found.group(1))] if found else []


def named_servers(
    urls: Sequence[str], http_urls: Sequence[str], decoding: DecodePlan, on_notice: Callable[[str], None]
) -> list[ServerAddress]:
    """The user's servers, one for all or one for each GPU in the order of `--gpus`; [] where none is named.

    Raises ConfigError when they do not fit.
    """
    if http_urls and len(http_urls) != len(urls):
        raise ConfigError(
            f"--http-url is given {len(http_urls)} times and --url {len(urls)} times; each server has one of both"
        )
    numbers: Sequence[int | None] = decoding.numbers
    if len(urls) > 1 and not numbers:
        raise ConfigError(f"--url names {len(urls)} servers, and there is no NVIDIA GPU here; name one for all cameras")
    if len(urls) > 1 and len(urls) != len(numbers):
        raise ConfigError(
            f"--url names {len(urls)} servers and --gpus {len(numbers)} GPUs; name a server for each GPU, in that order"
        )
    if len(urls) == 1 and len(numbers) != 1:
        if len(numbers) > 1:
            on_notice(
                f"one server for {len(numbers)} GPUs: the pictures of all but its first cross the host to it; "
                "name a server for each GPU, --url HOST:PORT again in the order of --gpus"
            )
        numbers = (None,)
    return [
        ServerAddress(grpc_url=url, http_url=http_urls[place] if http_urls else "", gpu=numbers[place])
        for place, url in enumerate(urls)
    ]


def log_of_place(place: int, number: int | None) -> Path | None:
    """The log of a server beside the first one; None for the usual one."""
    usual = default_log_path()
    return usual.with_stem(f"{usual.stem}-gpu{number}") if place else None


def address_of(server: EmbeddedServer) -> ServerAddress:
    """Where an embedded server answers, and the GPU on which memory is shared with it."""
    at = server.endpoint
    return ServerAddress(grpc_url=at.grpc_url, http_url=at.http_url, gpu=server.gpu)
