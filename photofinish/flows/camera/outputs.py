"""Where the results of `photofinish cameras run` go, as its flags say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photofinish.client.cameras.outputs.json_lines import JsonLines
from photofinish.client.cameras.outputs.mqtt import Mqtt
from photofinish.client.cameras.outputs.mqtt_names import mqtt_address_from_text
from photofinish.client.cameras.outputs.output import EventReceiver
from photofinish.client.cameras.outputs.webhook import Webhook, webhook_from_text
from photofinish.errors import ConfigError

NO_DISCOVERY = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputWishes:
    """json_path: "-" for standard output. mqtt, webhook: addresses, "" or None for none.

    mqtt_discovery: Home Assistant's prefix, "none" for no announcements.
    """

    json_path: str | None = None
    mqtt: str | None = None
    mqtt_discovery: str = "homeassistant"
    webhook: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for what is no address, before a server is started."""
        if self.mqtt:
            mqtt_address_from_text(self.mqtt)
        if self.webhook:
            webhook_from_text(self.webhook)


def outputs_from_wishes(wishes: OutputWishes, on_notice: Callable[[str], None]) -> list[EventReceiver]:
    """The receivers, opened. Raises ConfigError that names the flag; those opened before it are closed."""
    outputs: list[EventReceiver] = []
    try:
        if wishes.json_path is not None:
            outputs.append(_json_lines(wishes.json_path, on_notice))
        if wishes.mqtt:
            discovery = "" if wishes.mqtt_discovery == NO_DISCOVERY else wishes.mqtt_discovery.strip("/")
            outputs.append(Mqtt(wishes.mqtt, discovery=discovery, on_failure=on_notice))
        if wishes.webhook:
            outputs.append(Webhook(wishes.webhook, on_failure=on_notice))
    except ConfigError:
        for output in outputs:
            output.close()
        raise
    return outputs


def _json_lines(path: str, on_notice: Callable[[str], None]) -> JsonLines:
    try:
        return JsonLines(None if path == "-" else Path(path), on_failure=on_notice)
    except OSError as exc:
        raise ConfigError(f"--json {path} cannot be written: {exc.strerror}") from exc
