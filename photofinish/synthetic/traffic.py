"""Who is where at which moment: every trip is a closed formula of time, so any frame can be drawn first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photofinish.synthetic.meshes import Mesh
from photofinish.synthetic.palette import Colour, random_paints
from photofinish.synthetic.riders import (
    PEDAL_M,
    PERSON_SHAPES,
    PHASES,
    STRIDE_M,
    bicycle_mesh,
    motorcycle_mesh,
    pedestrian_mesh,
)
from photofinish.synthetic.streets import GREEN_S, SIGNAL_CYCLE_S, Lane
from photofinish.synthetic.vehicles import BUS_SHAPES, CAR_SHAPES, TRUCK_SHAPES, bus_mesh, car_mesh, truck_mesh

CLASS_NAMES: tuple[str, ...] = ("car", "truck", "bus", "motorcycle", "bicycle", "pedestrian")
"""Class names in the order of their class ids."""
CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE, PEDESTRIAN = range(len(CLASS_NAMES))

LENGTHS_M = {CAR: 4.2, TRUCK: 7.4, BUS: 10.0, MOTORCYCLE: 2.2, BICYCLE: 1.9, PEDESTRIAN: 0.6}
DRIVE_CLASSES = (CAR, TRUCK, BUS, MOTORCYCLE)
DRIVE_SHARES = (0.40, 0.19, 0.17, 0.24)
SHAPES = {CAR: CAR_SHAPES, TRUCK: TRUCK_SHAPES, BUS: BUS_SHAPES, PEDESTRIAN: PERSON_SHAPES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One actor's way along its lane: in at `speed`, perhaps a stop at `queue_m`, on again.

    stops: False for those who find green, then go_s is when they pass the line. All times in seconds.
    """

    class_id: int
    shape: str
    paints: tuple[Colour, Colour, Colour, Colour]
    speed: float
    braking: float
    acceleration: float
    stops: bool
    queue_m: float
    stop_s: float
    go_s: float
    lateral_m: float
    size: float

    def position(self, time_s: float) -> tuple[float, float]:
        """Metres past the stop line, and speed in metres per second."""
        if not self.stops:
            return self.speed * (time_s - self.go_s), self.speed
        brake_s, start_s = self.speed / self.braking, self.speed / self.acceleration
        if time_s < self.stop_s - brake_s:
            lead = self.stop_s - brake_s - time_s
            return self.queue_m - self.speed**2 / (2 * self.braking) - self.speed * lead, self.speed
        if time_s < self.stop_s:
            left = self.stop_s - time_s
            return self.queue_m - self.braking * left**2 / 2, self.braking * left
        if time_s < self.go_s:
            return self.queue_m, 0.0
        if time_s < self.go_s + start_s:
            gone = time_s - self.go_s
            return self.queue_m + self.acceleration * gone**2 / 2, self.acceleration * gone
        gone = time_s - self.go_s - start_s
        return self.queue_m + self.speed**2 / (2 * self.acceleration) + self.speed * gone, self.speed

    def brakes(self, time_s: float) -> bool:
        """Whether the brake lights are on."""
        return self.stops and self.stop_s - self.speed / self.braking <= time_s < self.go_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One object in the world at one moment: where its mesh stands, which way it points, how fast it moves."""

    class_id: int
    mesh: Mesh
    paints: tuple[Colour, Colour, Colour, Colour]
    position_xy: tuple[float, float]
    heading_rad: float
    speed: float
    size: float
    brakes: bool


class Traffic:
    """All trips of one town. Trips of a signal cycle are drawn from (seed, lane, cycle) and kept."""

    def __init__(self, seed: int, lanes: tuple[Lane, ...], crowding: float) -> None:
        """crowding: 1.0 is the default amount of traffic, 0 an empty town."""
        self._seed = seed
        self._lanes = lanes
        self._crowding = crowding
        self._trips: dict[tuple[int, int], tuple[Trip, ...]] = {}

    def actors(self, time_s: float) -> list[Actor]:
        """Everybody on the way at that time, in a fixed order."""
        found: list[Actor] = []
        for lane in self._lanes:
            cycle = int((time_s - lane.green_start_s) // SIGNAL_CYCLE_S)
            for number in (cycle - 2, cycle - 1, cycle, cycle + 1):
                for trip in self._trips_of(lane, number):
                    along, speed = trip.position(time_s)
                    if lane.span_m[0] < along < lane.span_m[1]:
                        found.append(_actor(lane, trip, along, speed, trip.brakes(time_s)))
        return found

    def _trips_of(self, lane: Lane, cycle: int) -> tuple[Trip, ...]:
        key = (lane.key, cycle)
        trips = self._trips.get(key)
        if trips is None:
            if len(self._trips) > 4096:
                self._trips.clear()
            rng = np.random.default_rng([self._seed, 2, lane.key, cycle % (1 << 32)])
            make = {"drive": _driving_trips, "cycle": _cycling_trips, "walk": _walking_trips}[lane.kind]
            green = cycle * SIGNAL_CYCLE_S + lane.green_start_s
            trips = self._trips[key] = tuple(make(rng, lane, green, self._crowding))
        return trips


def _actor(lane: Lane, trip: Trip, along: float, speed: float, brakes: bool) -> Actor:
    cos, sin = float(np.cos(lane.heading_rad)), float(np.sin(lane.heading_rad))
    x = lane.origin_xy[0] + along * cos + trip.lateral_m * sin
    y = lane.origin_xy[1] + along * sin - trip.lateral_m * cos
    return Actor(
        class_id=trip.class_id,
        mesh=_mesh(trip, along, speed),
        paints=trip.paints,
        position_xy=(x, y),
        heading_rad=lane.heading_rad,
        speed=speed,
        size=trip.size,
        brakes=brakes,
    )


def _mesh(trip: Trip, along: float, speed: float) -> Mesh:
    if trip.class_id == PEDESTRIAN:
        phase = int(along / (STRIDE_M * trip.size) * PHASES) % PHASES if speed > 0.05 else PHASES
        return pedestrian_mesh(trip.shape, phase)
    if trip.class_id == BICYCLE:
        return bicycle_mesh(int(along / PEDAL_M * PHASES) % PHASES)
    if trip.class_id == MOTORCYCLE:
        return motorcycle_mesh()
    return {CAR: car_mesh, TRUCK: truck_mesh, BUS: bus_mesh}[trip.class_id](trip.shape)


def _trip(
    rng: np.random.Generator,
    class_id: int,
    *,
    stops: bool,
    go_s: float,
    speed: float,
    braking: float = 2.6,
    acceleration: float = 2.2,
    queue_m: float = 0.0,
    stop_s: float = 0.0,
    lateral_m: float = 0.0,
    size: float = 1.0,
) -> Trip:
    """A trip whose shape and colours are drawn by lot."""
    shapes = SHAPES.get(class_id, ("",))
    shape = shapes[int(rng.integers(len(shapes)))]
    return Trip(
        class_id=class_id,
        shape=shape,
        paints=random_paints(rng, class_id, shape),
        speed=speed,
        braking=braking,
        acceleration=acceleration,
        stops=stops,
        queue_m=queue_m,
        stop_s=stop_s,
        go_s=go_s,
        lateral_m=lateral_m,
        size=size,
    )


def _driving_trips(rng: np.random.Generator, lane: Lane, green: float, crowding: float) -> list[Trip]:
    """A queue that waited for this green, then some who find it open."""
    trips: list[Trip] = []
    speed = 9.0
    red_since = green - SIGNAL_CYCLE_S + GREEN_S
    queue, stop_s, go_s = 0.4, red_since + rng.uniform(2.5, 6.0), green + 0.4
    for _ in range(int(rng.poisson(2.6 * crowding))):
        class_id = int(rng.choice(DRIVE_CLASSES, p=DRIVE_SHARES))
        length = LENGTHS_M[class_id]
        if queue + length > 34 or stop_s > green - 1.0:
            break
        lateral = rng.uniform(-0.7, 0.7) if class_id == MOTORCYCLE else rng.uniform(-0.15, 0.15)
        centre = -(queue + length / 2)
        trips.append(
            _trip(rng, class_id, stops=True, queue_m=centre, stop_s=stop_s, go_s=go_s, speed=speed, lateral_m=lateral)
        )
        queue += length + rng.uniform(1.6, 2.6)
        stop_s += 2.4 + length / speed
        go_s += rng.uniform(1.1, 1.5)
    clear = go_s + 2.0 + queue / speed
    while crowding > 0:
        clear += 1.4 + rng.exponential(2.4 / crowding)
        class_id = int(rng.choice(DRIVE_CLASSES, p=DRIVE_SHARES))
        clear += LENGTHS_M[class_id] / speed
        if clear > green + GREEN_S:
            break
        lateral = rng.uniform(-0.7, 0.7) if class_id == MOTORCYCLE else rng.uniform(-0.15, 0.15)
        trips.append(_trip(rng, class_id, stops=False, go_s=clear, speed=speed, lateral_m=lateral))
    return trips


def _cycling_trips(rng: np.random.Generator, lane: Lane, green: float, crowding: float) -> list[Trip]:
    trips: list[Trip] = []
    speed = 4.6
    red_since = green - SIGNAL_CYCLE_S + GREEN_S
    values = {"speed": speed, "braking": 1.6, "acceleration": 1.3}
    queue, stop_s, go_s = 0.3, red_since + rng.uniform(3.0, 7.0), green + 0.3
    for _ in range(int(rng.poisson(1.3 * crowding))):
        if queue > 20 or stop_s > green - 1.0:
            break
        lateral = float(rng.uniform(-lane.half_width_m, lane.half_width_m))
        trips.append(
            _trip(rng, BICYCLE, stops=True, queue_m=-(queue + 1), stop_s=stop_s, go_s=go_s, lateral_m=lateral, **values)
        )
        queue += 1.9 + rng.uniform(0.5, 1.2)
        stop_s += rng.uniform(1.6, 4.0)
        go_s += rng.uniform(0.7, 1.1)
    clear = go_s + 2.0 + queue / speed
    while crowding > 0:
        clear += 1.3 + rng.exponential(4.5 / crowding)
        if clear > green + GREEN_S - 2.0:
            break
        lateral = float(rng.uniform(-lane.half_width_m, lane.half_width_m))
        trips.append(_trip(rng, BICYCLE, stops=False, go_s=clear, lateral_m=lateral, **values))
    return trips


def _walking_trips(rng: np.random.Generator, lane: Lane, green: float, crowding: float) -> list[Trip]:
    trips: list[Trip] = []
    for _ in range(int(rng.poisson(0.95 * crowding))):
        values = {
            "speed": float(rng.uniform(1.25, 1.75)),
            "braking": 1.5,
            "acceleration": 1.5,
            "lateral_m": float(rng.uniform(-lane.half_width_m, lane.half_width_m)),
            "size": float(rng.choice([1.0, 1.0, 1.0, 0.75]) * rng.uniform(0.95, 1.07)),
        }
        if rng.random() < 0.75:
            stop_s = green - rng.uniform(1.0, SIGNAL_CYCLE_S - 4.0)
            values |= {"queue_m": -float(rng.uniform(0.3, 1.6)), "stop_s": stop_s}
            values["go_s"] = green + float(rng.uniform(0.2, 1.6))
            trips.append(_trip(rng, PEDESTRIAN, stops=True, **values))
        else:
            trips.append(_trip(rng, PEDESTRIAN, stops=False, go_s=green + float(rng.uniform(0.5, 2.5)), **values))
    return trips
