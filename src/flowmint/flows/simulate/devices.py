"""The simulated network: what kinds of devices it holds, and how each kind talks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARP, ICMP, IGMP, TCP, UDP, GRE = 0, 1, 2, 6, 17, 47
"""Protocol numbers of the IP header; ARP, which has none, counts as 0."""

SMALL = ((0, 1.0),)


@dataclass(frozen=True)
class Profile:
    """How one kind of device talks.

    Attributes:
        name: What the traffic is.
        protocol: IP protocol number, 0 for ARP.
        port: Port of the service, 0 if none.
        devices: How many devices of the network talk so.
        every: Mean seconds between two exchanges of one device.
        packets: Median number of packets of an exchange; the number is log-normal.
        spread: Standard deviation of that number's logarithm.
        gap: Median microseconds between two packets of an exchange; log-normal as well.
        gap_spread: Standard deviation of that gap's logarithm.
        up: Payload bytes of packets that the device sends, each with its weight.
        down: Payload bytes of packets that the device receives, each with its weight.
        uplink: Share of packets that the device sends.
        acknowledged: Share of TCP packets that carry no payload.
        opens: Share of TCP exchanges that open and close their connection.
        local: Whether both ends stand in the network, so that no router lowers the time to live.
    """

    name: str
    protocol: int
    port: int = 0
    devices: int = 1
    every: float = 10.0
    packets: float = 4.0
    spread: float = 0.6
    gap: float = 4000.0
    gap_spread: float = 1.5
    up: tuple[tuple[int, float], ...] = SMALL
    down: tuple[tuple[int, float], ...] = SMALL
    uplink: float = 0.5
    acknowledged: float = 0.0
    opens: float = 0.0
    local: bool = False


_BULK = ((1448, 0.66), (2896, 0.16), (4344, 0.05), (700, 0.1), (8688, 0.02), (20272, 0.01))

PROFILES = (
    Profile(
        "telemetry over MQTT", TCP, 1883, devices=14, every=0.9, packets=4, spread=0.5, gap=7000,
        up=((44, 0.5), (110, 0.3), (2, 0.2)), down=((4, 0.7), (2, 0.3)), acknowledged=0.4, opens=0.03, local=True,
    ),
    Profile(
        "cloud of a sensor over HTTPS", TCP, 443, devices=10, every=2.4, packets=9, spread=0.8, gap=9000,
        up=((85, 0.5), (320, 0.4), (517, 0.1)), down=((46, 0.4), (260, 0.3), (1448, 0.3)), acknowledged=0.4, opens=0.2,
    ),
    Profile(
        "speaker or update over HTTPS", TCP, 443, devices=3, every=11, packets=70, spread=1.2, gap=250, gap_spread=1.8,
        up=((90, 0.7), (600, 0.3)), down=_BULK, uplink=0.35, acknowledged=0.33, opens=0.5,
    ),
    Profile(
        "camera over RTP", UDP, 5004, devices=3, every=0.35, packets=5, spread=0.7, gap=220, gap_spread=1.2,
        up=((1388, 0.55), (1042, 0.15), (420, 0.2), (172, 0.1)), down=((60, 1.0),), uplink=0.96, local=True,
    ),
    Profile(
        "camera over TCP", TCP, 554, devices=2, every=4, packets=40, spread=0.9, gap=350, gap_spread=1.6,
        up=_BULK, down=((30, 1.0),), uplink=0.62, acknowledged=0.36, opens=0.05, local=True,
    ),
    Profile(
        "peer of a hub over UDP", UDP, 32100, devices=6, every=1.5, packets=3, spread=0.6, gap=12000,
        up=((48, 0.5), (4, 0.3), (96, 0.2)), down=((48, 0.6), (4, 0.4)), uplink=0.55,
    ),
    Profile(
        "DNS", UDP, 53, devices=10, every=9, packets=2, spread=0.4, gap=9000,
        up=((33, 0.5), (42, 0.5)), down=((49, 0.4), (110, 0.4), (240, 0.2)), local=True,
    ),
    Profile("NTP", UDP, 123, devices=8, every=20, packets=2, spread=0.1, gap=20000, up=((48, 1.0),), down=((48, 1.0),)),
    Profile(
        "page of a hub over HTTP", TCP, 80, devices=4, every=5, packets=9, spread=0.7, gap=2500,
        up=((210, 0.7), (420, 0.3)), down=((180, 0.4), (640, 0.3), (1448, 0.3)), acknowledged=0.4, opens=0.6,
        local=True,
    ),
    Profile(
        "discovery over SSDP", UDP, 1900, devices=8, every=12, packets=3, spread=0.5, gap=900,
        up=((133, 0.4), (300, 0.6)), uplink=1.0, local=True,
    ),
    Profile(
        "management over SSH", TCP, 22, devices=1, every=25, packets=20, spread=1.0, gap=15000,
        up=((52, 0.6), (36, 0.2), (180, 0.2)), down=((36, 0.8), (100, 0.2)), acknowledged=0.3, opens=0.2, local=True,
    ),
    Profile(
        "management over Telnet", TCP, 23, devices=1, every=60, packets=14, spread=0.9, gap=40000,
        up=((1, 0.4), (40, 0.6)), down=((1, 0.8), (3, 0.2)), acknowledged=0.3, opens=0.2, local=True,
    ),
    Profile("ARP", ARP, devices=20, every=9, packets=2, spread=0.2, gap=600, local=True),
    Profile(
        "DHCP", UDP, 67, devices=10, every=60, packets=2, spread=0.4, gap=9000,
        up=((300, 1.0),), down=((300, 0.6), (548, 0.4)), local=True,
    ),
    Profile("ping", ICMP, devices=4, every=15, packets=2, spread=0.4, gap=3000, up=((64, 1.0),), down=((64, 1.0),)),
    Profile(
        "groups over IGMP", IGMP, devices=6, every=60, packets=1, spread=0.2, up=((12, 1.0),), uplink=1.0, local=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Devices:
    """Every device that talks, one entry each.

    Attributes:
        profile: Index into `PROFILES`.
        period: Mean seconds between two exchanges.
        ttl: Time to live of the packets that the device sends.
        peer_ttl: Time to live of the packets that it receives.
        options: Bytes of TCP options in its packets once a connection stands.
        payload: Factor of its payloads, for no two models are the same.
    """

    profile: NDArray[np.int64]
    period: NDArray[np.float64]
    ttl: NDArray[np.int64]
    peer_ttl: NDArray[np.int64]
    options: NDArray[np.int64]
    payload: NDArray[np.float64]


_LOCAL_TTL = (np.array([64, 255, 128]), np.array([0.86, 0.10, 0.04]))
_REMOTE_TTL = (np.array([52, 117, 236]), np.array([0.6, 0.3, 0.1]))
_INVENTORY = 20230519
"""The network's devices are the same whatever the seed: a seed is another day, not another building."""


def draw_devices(random: np.random.Generator) -> Devices:
    """Draw the network of one capture: the same devices, each more or less busy than the other day.

    Args:
        random: Source of the day's activity.

    Returns:
        The devices.
    """
    model = np.random.default_rng(_INVENTORY)
    profile = np.repeat(np.arange(len(PROFILES)), [kind.devices for kind in PROFILES])
    count = len(profile)
    local = np.array([kind.local for kind in PROFILES])[profile]
    period = np.array([kind.every for kind in PROFILES])[profile] * model.lognormal(0.0, 0.5, count)
    near = model.choice(_LOCAL_TTL[0], count, p=_LOCAL_TTL[1])
    far = model.choice(_REMOTE_TTL[0], count, p=_REMOTE_TTL[1])
    return Devices(
        profile=profile,
        period=period * random.lognormal(0.0, 0.1, count),
        ttl=near,
        peer_ttl=np.where(local, 64, far),
        options=model.choice(np.array([0, 12]), count, p=np.array([0.3, 0.7])),
        payload=model.lognormal(0.0, 0.25, count),
    )
