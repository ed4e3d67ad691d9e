"""Results to an MQTT broker: the topics that users of Frigate know, found by Home Assistant by itself.

```
<prefix>/available                   online | offline (also when this program is killed)          retained
<prefix>/stats                       all cameras, JSON, every ten seconds
<prefix>/<camera>/available          online | offline                                             retained
<prefix>/<camera>/<class>            how many are in the picture now                              retained
<prefix>/<camera>/all                how many of any class                                        retained
<prefix>/<camera>/zones/<zone>/<class>  how many stand in the zone                                retained
<prefix>/<camera>/detections         the line of the JSON lines, for each frame with boxes
<prefix>/events                      an object came, changed, went: type, before, after
<prefix>/<camera>/lines/<line>       a crossing
<prefix>/<camera>/lines/<line>/<class>/in, …/out  how many have crossed since the run began      retained
```
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from photofinish.client.cameras.outputs.event_json import message_from_crossing, message_from_event
from photofinish.client.cameras.outputs.json_lines import line_from_inferred
from photofinish.client.cameras.outputs.mqtt_names import (
    discovery_of_availability,
    discovery_of_class,
    discovery_of_line,
    line_part,
    mqtt_address_from_text,
    stats_from_status,
    topic_part,
    zone_part,
)
from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.outputs.zones import count_by_zone
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus, IngestPhase
from photofinish.errors import ConfigError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

USER_VARIABLE, PASSWORD_VARIABLE = "PHOTOFINISH_MQTT_USER", "PHOTOFINISH_MQTT_PASSWORD"
MAX_WAITING_EVENTS = 2000
MAX_UNSENT = 100
"""Messages that the library holds for a broker that does not read."""
SEND_TIMEOUT_S = 5.0
CLOSE_S = 0.5
KEEPALIVE_S = 15
STATS_EVERY = 10
ALL = "all"


class Mqtt:
    """An EventReceiver. Connects in the background, and again for ever; events meanwhile are lost with a count.

    discovery: the prefix that Home Assistant listens to, "" for none.
    """

    def __init__(
        self,
        address: str,
        *,
        discovery: str = "homeassistant",
        environment: Mapping[str, str] = os.environ,
        max_waiting: int = MAX_WAITING_EVENTS,
        send_timeout_s: float = SEND_TIMEOUT_S,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Raises ConfigError for an address that is none, or when the library is not installed."""
        self._address = mqtt_address_from_text(address)
        self.name = f"mqtt {self._address.host}"
        self._discovery = discovery
        self._on_failure = on_failure
        self._send_timeout_s = send_timeout_s
        self._last_problem = ""
        self._statuses = 0
        self._sent: dict[str, dict[str, str]] = {}
        """Retained messages that the broker has: by camera, "" for all of them, and by topic."""
        self._before: dict[str, set[str]] = {}
        """Topics of the connection before, by camera: a broker that was only out of reach still has them."""
        self._announced: set[tuple[str, str]] = set()
        self._classes: dict[str, set[str]] = {}
        self._unsent: deque[MQTTMessageInfo] = deque()
        self._is_new_connection = False
        self._client = self._made_client(environment)
        self._events = WaitingEvents(self.name, self._handle, limit=max_waiting, on_failure=on_failure)
        self._client.connect_async(self._address.host, self._address.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    @property
    def lost(self) -> int:
        """Events that the broker did not take."""
        return self._events.lost

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there."""
        self._events.put(result)

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        """An object came, changed or went, or crossed a line."""
        self._events.put(event)

    def on_status(self, status: CellStatus) -> None:
        """Which cameras are there and play."""
        if self._client.is_connected():
            self._events.put(status)

    def close(self) -> None:
        """Tell that everything is offline, and leave; a broker that does not read is not waited for."""
        self._events.close()
        leaving = threading.Thread(target=self._leave, name="mqtt-leave", daemon=True)
        leaving.start()
        leaving.join(CLOSE_S)
        if leaving.is_alive() and (connection := self._client.socket()) is not None:
            with contextlib.suppress(OSError):
                cast(socket.socket, connection).shutdown(socket.SHUT_RDWR)

    def _leave(self) -> None:
        if self._client.is_connected():
            self._client.publish(f"{self._address.prefix}/available", "offline", qos=0, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _made_client(self, environment: Mapping[str, str]) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError as exc:
            raise ConfigError("MQTT needs paho-mqtt; install it with `pip install 'photofinish[mqtt]'`") from exc
        client = Client(CallbackAPIVersion.VERSION2)
        if user := environment.get(USER_VARIABLE, ""):
            client.username_pw_set(user, environment.get(PASSWORD_VARIABLE) or None)
        if self._address.is_tls:
            client.tls_set()
        client.will_set(f"{self._address.prefix}/available", "offline", qos=0, retain=True)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda client, data: self._tell(self._unreachable())
        client.on_disconnect = lambda client, data, flags, reason, properties: (
            self._tell(f"the broker ended the connection ({reason}); connecting again") if reason.is_failure else None
        )
        return client

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """Runs in the library's thread."""
        if reason.is_failure:
            self._tell(
                f"the broker refuses the connection: {reason}; set {USER_VARIABLE} and {PASSWORD_VARIABLE} "
                "to a user that it knows"
            )
            return
        self._last_problem = ""
        self._is_new_connection = True

    def _unreachable(self) -> str:
        return f"no MQTT broker answers at {self._address.host}:{self._address.port}; is it running?"

    def _tell(self, text: str) -> None:
        """A problem, once until it is another one."""
        if text != self._last_problem and not self._events.is_closing.is_set():
            self._on_failure(f"{self.name}: {text}")
        self._last_problem = text

    def _handle(self, events: list[Any]) -> None:
        """Raises OSError when the broker does not take it."""
        if not self._client.is_connected():
            raise OSError("the broker is not connected")
        if self._is_new_connection:
            self._is_new_connection = False
            for camera, topics in self._sent.items():
                self._before.setdefault(camera, set()).update(topics)
            self._sent.clear()  # a broker that was started again has forgotten them
            self._announced.clear()
            self._unsent.clear()
            self._keep("", f"{self._address.prefix}/available", "online")
        for event in events:
            if isinstance(event, CellStatus):
                self._handle_status(event)
            elif isinstance(event, ObjectEvent):
                self._publish(f"{self._address.prefix}/events", json.dumps(message_from_event(event)), retain=False)
            elif isinstance(event, LineCrossing):
                self._handle_crossing(event)
            else:
                self._handle_result(event)

    def _handle_result(self, result: Inferred) -> None:
        found = result.detections
        names = [result.class_name(number) for number in found.class_id.tolist()]
        camera, seen = result.camera, self._classes.setdefault(result.camera, set())
        seen.update(names)
        counts = Counter(names)
        folder = f"{self._address.prefix}/{topic_part(camera)}"
        for name in sorted(seen):
            if self._discovery and (camera, name) not in self._announced:
                self._keep(camera, *discovery_of_class(self._discovery, self._address.prefix, camera, name))
                self._announced.add((camera, name))
            self._keep(camera, f"{folder}/{topic_part(name)}", str(counts[name]))
        self._keep(camera, f"{folder}/{ALL}", str(len(found)))
        for zone, held in count_by_zone(result, names).items():
            for name in sorted(seen):
                if self._discovery and (camera, f"{zone}/{name}") not in self._announced:
                    self._keep(camera, *discovery_of_class(self._discovery, self._address.prefix, camera, name, zone))
                    self._announced.add((camera, f"{zone}/{name}"))
                self._keep(camera, f"{folder}/{zone_part(zone)}/{topic_part(name)}", str(held.get(name, 0)))
        if len(found):
            self._publish(f"{folder}/detections", json.dumps(line_from_inferred(result)), retain=False)

    def _handle_crossing(self, crossing: LineCrossing) -> None:
        camera, line, label = crossing.camera, crossing.line, crossing.label
        folder = f"{self._address.prefix}/{topic_part(camera)}"
        for direction, count in (("in", crossing.count_in), ("out", crossing.count_out)):
            if self._discovery and (camera, name := line_part(line, label, direction)) not in self._announced:
                self._keep(
                    camera, *discovery_of_line(self._discovery, self._address.prefix, camera, line, label, direction)
                )
                self._announced.add((camera, name))
            self._keep(camera, f"{folder}/{line_part(line, label, direction)}", str(count))
        self._publish(f"{folder}/{line_part(line)}", json.dumps(message_from_crossing(crossing)), retain=False)

    def _handle_status(self, status: CellStatus) -> None:
        prefix = self._address.prefix
        cameras = {row.camera: row for row in status.cameras}
        for camera, row in cameras.items():
            plays = row.ingest.phase is IngestPhase.PLAYING
            if self._discovery:
                self._keep(camera, *discovery_of_availability(self._discovery, prefix, camera))
            self._keep(camera, f"{prefix}/{topic_part(camera)}/available", "online" if plays else "offline")
        for gone in self._sent.keys() - cameras.keys() - {""}:
            self._forget(gone)
        for camera in self._before.keys() - {""}:  # one that went meanwhile would stay in Home Assistant
            for topic in self._before[camera] if camera not in cameras else ():
                self._publish(topic, "", retain=True)
        self._before = {}
        if self._statuses % STATS_EVERY == 0:
            self._publish(f"{prefix}/stats", json.dumps(stats_from_status(status)), retain=False)
        self._statuses += 1

    def _forget(self, camera: str) -> None:
        """An empty retained message takes a topic, and the entity in Home Assistant, away."""
        for topic in self._sent.pop(camera):
            self._publish(topic, "", retain=True)
        self._classes.pop(camera, None)
        self._announced = {pair for pair in self._announced if pair[0] != camera}

    def _keep(self, camera: str, topic: str, payload: str) -> None:
        """Publish what the broker keeps, where it is another than before."""
        sent = self._sent.setdefault(camera, {})
        if sent.get(topic) != payload:
            self._publish(topic, payload, retain=True)
            sent[topic] = payload

    def _publish(self, topic: str, payload: str, *, retain: bool) -> None:
        """Raises OSError when the broker is gone, or has not read for a while."""
        message = self._client.publish(topic, payload, qos=0, retain=retain)
        if message.rc:
            raise OSError("the broker is not connected")
        self._unsent.append(message)
        while len(self._unsent) > MAX_UNSENT:
            oldest = self._unsent[0]
            try:
                oldest.wait_for_publish(self._send_timeout_s)
                is_sent = oldest.is_published()
            except RuntimeError as exc:  # the connection ended with it
                self._unsent.clear()
                raise OSError("the broker is not connected") from exc
            if not is_sent:
                raise OSError("the broker does not read")
            self._unsent.popleft()
