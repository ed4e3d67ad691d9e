"""MQTT against a real Mosquitto: topics, discovery, passwords, a broker that goes, stalls and is not there."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from photofinish.client.cameras.outputs.mqtt import Mqtt
from photofinish.client.cameras.outputs.mqtt_names import mqtt_address_from_text, object_id, topic_part
from photofinish.client.cameras.values.camera import Zone
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent, ObjectState
from photofinish.client.cameras.values.status import CameraStatus, CellStatus, DropCount, IngestPhase, IngestReport
from photofinish.errors import ConfigError
from tests.client.cameras.endpoint.statuses import camera_status, cell_status
from tests.client.cameras.outputs.test_json_lines import inferred
from tests.client.cameras.outputs.test_webhook import soon
from tests.ports import free_port

CAR = ObjectState(
    event_id="1.000000-abcdef",
    camera="door",
    label="car",
    start_unix_ns=10**9,
    frame_unix_ns=10**9,
    score=0.5,
    top_score=0.5,
    box_xyxy=(1, 2, 3, 4),
    size_wh=(640, 360),
)
CROSSING = LineCrossing(
    camera="door",
    line="front gate",
    label="car",
    direction="in",
    event_id=CAR.event_id,
    frame_unix_ns=10**9,
    count_in=1,
    count_out=5,
)
BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
needs_broker = pytest.mark.skipif(BROKER is None, reason="Mosquitto is not installed (apt install mosquitto)")
Topics = dict[str, str]


@contextmanager
def mosquitto(folder: Path, port: int, *, password: str = "") -> Iterator[subprocess.Popen[bytes]]:
    lines = [f"listener {port} 127.0.0.1", "persistence false", "user root"]
    if password:
        (folder / "users").write_text(f"user:{password}\n")
        subprocess.run(["mosquitto_passwd", "-U", str(folder / "users")], check=True, capture_output=True)
        lines += ["allow_anonymous false", f"password_file {folder / 'users'}"]
    else:
        lines += ["allow_anonymous true"]
    (folder / "broker.conf").write_text("\n".join(lines) + "\n")
    assert BROKER
    process = subprocess.Popen(
        [BROKER, "-c", str(folder / "broker.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        soon(lambda: process.poll() is not None or socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        assert process.poll() is None, f"Mosquitto ended with {process.returncode}; is port {port} taken?"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@contextmanager
def listening(port: int) -> Iterator[Topics]:
    """The newest message of each topic; emptied ones are left out."""
    topics: Topics = {}

    def hear(client: Client, data: object, message: MQTTMessage) -> None:
        topics[message.topic] = message.payload.decode()
        if not message.payload:
            del topics[message.topic]

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = hear
    client.on_connect = lambda client, *rest: client.subscribe("#")
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield topics
    finally:
        client.disconnect()
        client.loop_stop()


def status(**phases: IngestPhase) -> CellStatus:
    rows = tuple(
        CameraStatus(
            camera=name,
            shown_url="rtsp://cam",
            priority=0,
            wanted_fps=5,
            ingest=IngestReport(camera=name, phase=phase),
            count=DropCount(due=3, inferred=3),
        )
        for name, phase in phases.items()
    )
    return CellStatus(at_unix_ns=1, uptime_s=1, variant="toy", cameras=rows)


def tell_until(act: Callable[[], None], holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Act again and again, as frames come again and again."""

    def acted() -> bool:
        act()
        time.sleep(0.02)
        return holds()

    soon(acted, timeout_s)


@needs_broker
def test_the_topics_that_users_of_frigate_know_and_what_home_assistant_reads(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), listening(port) as topics:
        output = Mqtt(f"mqtt://127.0.0.1:{port}/yard")
        tell_until(
            lambda: output.on_status(status(door=IngestPhase.PLAYING, gate=IngestPhase.CONNECTING)),
            lambda: topics.get("yard/gate/available") == "offline" and "yard/stats" in topics,
        )
        output.on_inferred(inferred(7))
        soon(lambda: "yard/door/detections" in topics and topics.get("yard/door/all") == "1")
        assert topics["yard/available"] == topics["yard/door/available"] == "online"
        assert topics["yard/door/person"] == "1"
        assert json.loads(topics["yard/door/detections"])["frame"] == 7
        assert json.loads(topics["yard/stats"])["cameras"]["door"]["inferred"] == 3
        output.on_inferred(inferred(8, with_box=False))
        soon(lambda: topics["yard/door/person"] == "0" and topics["yard/door/all"] == "0")

        sensor = json.loads(topics["homeassistant/sensor/yard_door/person/config"])
        assert topics[sensor["state_topic"]] == "0"
        assert all(topics[item["topic"]] == "online" for item in sensor["availability"])
        assert (sensor["device"]["name"], sensor["name"]) == ("door", "person count")
        connection = json.loads(topics["homeassistant/binary_sensor/yard_gate/connection/config"])
        assert topics[connection["state_topic"]] == connection["payload_off"]
        assert sensor["unique_id"] != connection["unique_id"]

        output.on_status(status(gate=IngestPhase.PLAYING))
        soon(lambda: not any("door" in topic for topic in topics if not topic.endswith("/detections")))
        assert topics["yard/gate/available"] == "online"
        output.close()
        soon(lambda: topics["yard/available"] == "offline")
        assert output.lost == 0


@needs_broker
def test_zones_have_counts_and_sensors_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    yard = Zone(name="front yard", points_xy=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    road = Zone(name="road", points_xy=((0.5, 0), (1, 0), (1, 1)))
    with mosquitto(tmp_path, port), listening(port) as topics:
        output = Mqtt(f"mqtt://127.0.0.1:{port}")
        result = replace(inferred(1), zones=(yard, road))
        tell_until(lambda: output.on_inferred(result), lambda: "photofinish/door/zones/road/person" in topics)
        assert topics["photofinish/door/zones/front yard/person"] == "1"
        assert topics["photofinish/door/zones/road/person"] == "0"
        sensors = [json.loads(text) for topic, text in topics.items() if topic.startswith("homeassistant/sensor/")]
        assert sorted(topics[sensor["state_topic"]] for sensor in sensors) == ["0", "1", "1"]
        assert len({sensor["unique_id"] for sensor in sensors}) == 3
        output.close()


@needs_broker
def test_events_and_crossings_are_told_and_home_assistant_finds_the_counters(tmp_path: Path) -> None:
    port, heard = free_port(), list[str]()
    with mosquitto(tmp_path, port), listening(port) as topics:
        output = Mqtt(f"mqtt://127.0.0.1:{port}/yard")
        tell_until(lambda: output.on_inferred(inferred(1)), lambda: "yard/door/all" in topics)
        for kind, stop in (("new", None), ("end", 2 * 10**9)):
            output.on_event(ObjectEvent(kind=kind, before=CAR, after=replace(CAR, end_unix_ns=stop)))  # type: ignore[arg-type]
            soon(lambda kind=kind: json.loads(topics.get("yard/events", "{}")).get("type") == kind)  # type: ignore[misc]
            heard.append(topics["yard/events"])
        assert [json.loads(text)["after"]["end_time"] for text in heard] == [None, 2.0]
        assert json.loads(heard[0])["after"]["id"] == CAR.event_id
        for count in (1, 2):
            output.on_event(replace(CROSSING, count_in=count))
        soon(lambda: topics.get("yard/door/lines/front gate/car/in") == "2")
        assert topics["yard/door/lines/front gate/car/out"] == "5"
        assert json.loads(topics["yard/door/lines/front gate"])["direction"] == "in"
        sensors = [json.loads(text) for topic, text in topics.items() if "line_front" in topic]
        assert sorted(topics[sensor["state_topic"]] for sensor in sensors) == ["2", "5"]
        assert {sensor["state_class"] for sensor in sensors} == {"total_increasing"}
        assert len({sensor["unique_id"] for sensor in sensors}) == 2
        tell_until(
            lambda: output.on_status(status(gate=IngestPhase.PLAYING)),
            lambda: not any("line_front" in topic or topic.endswith("/in") for topic in topics),
        )
        output.close()


@needs_broker
def test_a_broker_that_is_started_again_is_told_everything_anew(tmp_path: Path) -> None:
    port, said = free_port(), list[str]()
    output = Mqtt(f"127.0.0.1:{port}", on_failure=said.append)
    soon(lambda: bool(said))
    assert said == [f"mqtt 127.0.0.1: no MQTT broker answers at 127.0.0.1:{port}; is it running?"]
    output.on_inferred(inferred(1))
    soon(lambda: output.lost == 1)
    for _ in range(2):
        with mosquitto(tmp_path, port), listening(port) as topics:
            tell_until(
                lambda: output.on_inferred(inferred(2)), lambda: topics.get("photofinish/door/person") == "1", 15
            )
            assert topics["photofinish/available"] == "online"
            assert "homeassistant/sensor/photofinish_door/person/config" in topics
    output.close()


@needs_broker
def test_a_broker_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    port, said = free_port(), list[str]()
    with mosquitto(tmp_path, port) as process:
        output = Mqtt(f"mqtt://127.0.0.1:{port}", max_waiting=300, send_timeout_s=0.3, on_failure=said.append)
        with listening(port) as topics:
            tell_until(lambda: output.on_inferred(inferred(0)), lambda: "photofinish/door/all" in topics)
        process.send_signal(signal.SIGSTOP)
        before, began_s = output.lost, time.monotonic()
        big = replace(inferred(1), variant="x" * 60_000)
        for _ in range(400):
            output.on_inferred(big)
        assert time.monotonic() - began_s < 10, "each would wait 0.3 s"
        soon(lambda: any("the broker does not read" in text for text in said))
        assert output.lost - before >= 100
        began_s = time.monotonic()
        output.close()
        assert time.monotonic() - began_s < 20
        soon(lambda: not any(thread.name == "mqtt-leave" for thread in threading.enumerate()), 60)


@needs_broker
def test_the_password_comes_from_the_environment_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    port, said = free_port(), list[str]()
    names = ("PHOTOFINISH_MQTT_USER", "PHOTOFINISH_MQTT_PASSWORD")
    with mosquitto(tmp_path, port, password="open sesame"):
        wrong = Mqtt(
            f"127.0.0.1:{port}", environment=dict(zip(names, ("user", "guess"), strict=True)), on_failure=said.append
        )
        soon(lambda: any("refuses" in text for text in said))
        assert "PHOTOFINISH_MQTT_PASSWORD" in said[0]
        assert "guess" not in "".join(said)
        wrong.close()
        right = Mqtt(f"127.0.0.1:{port}", environment=dict(zip(names, ("user", "open sesame"), strict=True)))
        soon(lambda: right._client.is_connected())
        right.on_inferred(inferred(1))
        right.close()
        assert right.lost == 0


def test_names_become_levels_of_topics_and_stay_apart() -> None:
    assert (topic_part("front door"), object_id("front door")) == ("front door", "front_door-c9b7995f")
    assert topic_part("a/b") != topic_part("a_b") != topic_part("a+b")
    assert "/" not in topic_part("a/b#+")
    assert object_id("前门") != object_id("后门")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("broker", ("broker", 1883, False, "photofinish")),
        ("mqtts://broker", ("broker", 8883, True, "photofinish")),
        ("mqtt://10.0.0.2:99/site/yard/", ("10.0.0.2", 99, False, "site/yard")),
    ],
)
def test_addresses_of_brokers(text: str, found: tuple[str, int, bool, str]) -> None:
    address = mqtt_address_from_text(text)
    assert (address.host, address.port, address.is_tls, address.prefix) == found


@pytest.mark.parametrize(
    "text", ["http://broker", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://h/a/#", "tcp://h"]
)
def test_what_is_no_address_of_a_broker_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be an address such as mqtt://host:1883"):
        mqtt_address_from_text(text)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="PHOTOFINISH_MQTT_PASSWORD") as caught:
        mqtt_address_from_text("mqtt://user:hunter2@broker")
    assert "hunter2" not in str(caught.value)


def test_a_camera_that_went_while_the_broker_was_out_of_reach_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker kept its topics, and Home Assistant its device, for ever."""
    output, sent = Mqtt(f"127.0.0.1:{free_port()}"), list[tuple[str, str]]()
    monkeypatch.setattr(output._client, "is_connected", lambda: True)
    monkeypatch.setattr(output, "_publish", lambda topic, payload, retain: sent.append((topic, payload)))
    yard = camera_status("yard")
    for rows in ((camera_status(), yard), (yard,)):
        output._is_new_connection = True
        output._handle([cell_status(*rows)])
    assert ("photofinish/door/available", "online") in sent
    assert ("photofinish/door/available", "") in sent
    assert not any(topic.startswith("photofinish/yard/") and not payload for topic, payload in sent)
    monkeypatch.undo()
    output.close()
