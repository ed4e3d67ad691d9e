"""Addresses, topics and announcements: all that MQTT needs and that is not sending."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from photofinish import __version__
from photofinish.client.cameras.values.status import CellStatus
from photofinish.errors import ConfigError

DEFAULT_PREFIX = "photofinish"
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttAddress:
    """Where a broker is. prefix: what all topics begin with."""

    host: str
    port: int
    is_tls: bool
    prefix: str


def mqtt_address_from_text(text: str) -> MqttAddress:
    """`mqtt://host:1883/prefix`, or `mqtts://` with TLS. Raises ConfigError without showing what may be a secret."""
    try:
        parts = urlsplit(text if "://" in text else f"mqtt://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "the MQTT address must not hold a user and password, which a process list shows to everybody; "
            "set PHOTOFINISH_MQTT_USER and PHOTOFINISH_MQTT_PASSWORD"
        )
    prefix = parts.path.strip("/") or DEFAULT_PREFIX
    is_more = "?" in text or "#" in text
    if parts.scheme not in PORTS or not host or port == 0 or is_more or re.search(r"[+#\s\0]", prefix):
        raise ConfigError(
            "the MQTT broker must be an address such as mqtt://host:1883 or mqtts://host:8883/prefix; "
            "what was given is none"
        )
    return MqttAddress(host=host, port=port or PORTS[parts.scheme], is_tls=parts.scheme == "mqtts", prefix=prefix)


def topic_part(name: str) -> str:
    """A camera's or class's name as one level of a topic; a name that had to be changed ends in its hash."""
    changed = re.sub(r"[/+#\0]", "_", name).replace("$", "_")
    return changed if changed == name else f"{changed}-{_hash(name)}"


def object_id(name: str) -> str:
    """A name as Home Assistant takes it in a topic of discovery: letters, digits, `_` and `-`."""
    changed = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return changed if changed == name else f"{changed}-{_hash(name)}"


def _hash(name: str) -> str:
    return f"{zlib.crc32(name.encode()):08x}"


def zone_part(zone: str) -> str:
    """A zone's levels of a topic, apart from those of classes."""
    return f"zones/{topic_part(zone)}"


def discovery_of_class(discovery: str, prefix: str, camera: str, class_name: str, zone: str = "") -> tuple[str, str]:
    """Topic and message that make a sensor of how many of a class a camera sees, or sees in a zone."""
    place = f"{zone_part(zone)}/" if zone else ""
    values = {
        "name": f"{zone} {class_name} count" if zone else f"{class_name} count",
        "state_topic": f"{prefix}/{topic_part(camera)}/{place}{topic_part(class_name)}",
        "state_class": "measurement",
        "unit_of_measurement": "objects",
    }
    name = f"zone_{object_id(zone)}_{class_name}" if zone else class_name
    return _announcement(discovery, prefix, camera, "sensor", name, values, needs_camera=True)


def line_part(line: str, class_name: str = "", direction: str = "") -> str:
    """A line's levels of a topic: of its crossings, or of what counts one class in one direction."""
    levels = (line, class_name, direction)
    return f"lines/{'/'.join(topic_part(level) for level in levels if level)}"


def discovery_of_line(
    discovery: str, prefix: str, camera: str, line: str, class_name: str, direction: str
) -> tuple[str, str]:
    """Topic and message that make a sensor of how many of a class crossed a line in one direction."""
    values = {
        "name": f"{line} {class_name} {direction}",
        "state_topic": f"{prefix}/{topic_part(camera)}/{line_part(line, class_name, direction)}",
        "state_class": "total_increasing",
        "unit_of_measurement": "objects",
    }
    name = f"line_{object_id(line)}_{object_id(class_name)}_{direction}"
    return _announcement(discovery, prefix, camera, "sensor", name, values, needs_camera=False)


def discovery_of_availability(discovery: str, prefix: str, camera: str) -> tuple[str, str]:
    """Topic and message that make a sensor of whether a camera sends pictures."""
    values = {
        "name": "connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": f"{prefix}/{topic_part(camera)}/available",
        "payload_on": "online",
        "payload_off": "offline",
    }
    return _announcement(discovery, prefix, camera, "binary_sensor", "connection", values, needs_camera=False)


def _announcement(
    discovery: str, prefix: str, camera: str, kind: str, name: str, values: dict[str, Any], *, needs_camera: bool
) -> tuple[str, str]:
    """`<discovery>/<kind>/<prefix>_<camera>/<name>/config`; a device for each camera."""
    identity = f"{object_id(prefix)}_{object_id(camera)}"
    available = [{"topic": f"{prefix}/available"}]
    if needs_camera:
        available.append({"topic": f"{prefix}/{topic_part(camera)}/available"})
    message = {
        **values,
        "unique_id": f"{identity}_{object_id(name)}_{kind}",
        "availability": available,
        "availability_mode": "all",
        "device": {
            "identifiers": [identity],
            "name": camera,
            "manufacturer": "Photofinish",
            "sw_version": __version__,
        },
        "origin": {"name": "Photofinish", "sw_version": __version__},
    }
    return f"{discovery}/{kind}/{identity}/{object_id(name)}/config", json.dumps(message, sort_keys=True)


def stats_from_status(status: CellStatus) -> dict[str, Any]:
    """What `<prefix>/stats` says: every camera's account and latency, and what concerns all."""
    return {
        "uptime_s": round(status.uptime_s, 1),
        "variant": status.variant,
        "server": status.server_message or "ok",
        "notes": list(status.notes),
        "lost_events": dict(status.lost_events),
        "cameras": {
            row.camera: {
                "state": row.ingest.phase.value,
                "camera_fps": row.ingest.measured_fps,
                "detection_fps": round(row.served_fps, 2),
                "due": row.count.due,
                "inferred": row.count.inferred,
                "dropped": {cause.value: count for cause, count in row.count.dropped.items()},
                "p95_ms": row.p95_ms,
                "quality": row.quality,
            }
            for row in status.cameras
        },
    }
