"""Streams of packets: what devices say to each other, what an attacker adds, and their merger in time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from flowmint.flows.simulate.devices import ARP, PROFILES, TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from flowmint.flows.simulate.devices import Devices, Profile

FIN, SYN, RST, PSH, ACK, ECE, CWR = 1, 2, 4, 8, 16, 64, 128
"""Bits of the flags in a TCP header."""

_ETHERNET, _IP, _PADDED, _LARGEST = 14, 20, 60, 65549
_SECOND = 1_000_000
"""Times are whole microseconds, as in a capture file."""


@dataclass(frozen=True)
class Packets:
    """Packets, one entry each.

    Attributes:
        time: Microseconds since the capture began.
        size: Bytes of the frame, with its Ethernet header.
        protocol: IP protocol number, 0 for ARP.
        ttl: Time to live, 0 for ARP.
        flags: TCP flags, 0 for other protocols.
        header: Bytes of the TCP header with its options or of the UDP header, 0 for other protocols.
        port: Port of the service, 0 if none.
        fragment: Whether it is a later fragment, whose transport header went with the first one.
        device: Index of the device that takes part, -1 for an attacker.
    """

    time: NDArray[np.int64]
    size: NDArray[np.int64]
    protocol: NDArray[np.int64]
    ttl: NDArray[np.int64]
    flags: NDArray[np.int64]
    header: NDArray[np.int64]
    port: NDArray[np.int64]
    fragment: NDArray[np.bool_]
    device: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the packets."""
        return len(self.time)

    def take(self, where: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Packets:
        """Take some of the packets, by index, mask or slice."""
        return Packets(**{field.name: getattr(self, field.name)[where] for field in fields(self)})


def merge(streams: Sequence[Packets]) -> Packets:
    """Merge streams into one, in order of time and with no two packets at the same time."""
    joined = Packets(
        **{field.name: np.concatenate([getattr(stream, field.name) for stream in streams]) for field in fields(Packets)}
    )
    ordered = joined.take(np.argsort(joined.time, kind="stable"))
    place = np.arange(len(ordered))
    return replace(ordered, time=np.maximum.accumulate(ordered.time - place) + place)


def talk(devices: Devices, *, seconds: float, random: np.random.Generator) -> Packets:
    """Let every device talk as its profile says.

    Args:
        devices: The devices of the network.
        seconds: For how long.
        random: Source of randomness.

    Returns:
        Their packets, in order of time.
    """
    streams = []
    for index, profile in enumerate(PROFILES):
        members = np.flatnonzero(devices.profile == index)
        owner = np.repeat(members, random.poisson(seconds / devices.period[members]))
        length = np.rint(profile.packets * random.lognormal(0.0, profile.spread, len(owner))).astype(np.int64)
        exchanges = _lay_out(owner, np.maximum(length, 1), profile)
        streams.append(_packets_of(exchanges, profile, devices, seconds=seconds, random=random))
    return merge(streams)


@dataclass(frozen=True)
class _Exchanges:
    """Where each packet stands in its exchange."""

    exchange: NDArray[np.int64]
    owner: NDArray[np.int64]
    place: NDArray[np.int64]
    left: NDArray[np.int64]
    count: int


def _lay_out(owner: NDArray[np.int64], length: NDArray[np.int64], profile: Profile) -> _Exchanges:
    """Give every packet of every exchange its place; an exchange that may open a connection needs room for it."""
    length = np.maximum(length, 6) if profile.opens >= 0.5 else length
    exchange = np.repeat(np.arange(len(owner)), length)
    place = np.arange(len(exchange)) - np.repeat(np.cumsum(length) - length, length)
    return _Exchanges(exchange, owner[exchange], place, length[exchange] - 1 - place, len(owner))


def _packets_of(
    exchanges: _Exchanges, profile: Profile, devices: Devices, *, seconds: float, random: np.random.Generator
) -> Packets:
    time = _times(exchanges, profile, seconds=seconds, random=random)
    if profile.protocol == TCP:
        flags, upward = _tcp(exchanges, profile, random=random)
    else:
        flags, upward = np.zeros_like(time), random.random(len(time)) < profile.uplink
    silent = (flags & PSH == 0) if profile.protocol == TCP else np.zeros(len(time), dtype=bool)
    payload = np.where(upward, _draw(profile.up, len(time), random), _draw(profile.down, len(time), random))
    scaled = np.where(payload > 100, payload * devices.payload[exchanges.owner], payload)
    payload = np.where(silent, 0, np.where(payload < 1400, np.minimum(np.rint(scaled), 1400), payload)).astype(np.int64)
    header = _header(flags, devices.options[exchanges.owner], profile.protocol)
    return Packets(
        time=time,
        size=frame_size(payload + header, arp=profile.protocol == ARP, padded=upward),
        protocol=np.full_like(time, profile.protocol),
        ttl=np.where(upward, devices.ttl[exchanges.owner], devices.peer_ttl[exchanges.owner])
        * (profile.protocol != ARP),
        # a full segment within a burst carries no PSH: only its last one does
        flags=np.where((payload >= 1400) & (random.random(len(time)) < 0.7), flags & ~PSH, flags),
        header=header,
        port=np.full_like(time, profile.port),
        fragment=np.zeros(len(time), dtype=bool),
        device=exchanges.owner,
    )


def _times(
    exchanges: _Exchanges, profile: Profile, *, seconds: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw when packets pass: exchanges begin at any time, their packets follow with log-normal gaps."""
    pace = random.lognormal(0.0, 0.5, exchanges.count)[exchanges.exchange]
    gaps = pace * profile.gap * random.lognormal(0.0, profile.gap_spread, len(pace))
    passed = np.cumsum(gaps)
    first = np.flatnonzero(exchanges.place == 0)
    begin = random.random(exchanges.count) * seconds * _SECOND
    return np.rint(passed + (begin - passed[first])[exchanges.exchange]).astype(np.int64)


def _tcp(
    exchanges: _Exchanges, profile: Profile, *, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw the flags of TCP packets and whether the device sends them."""
    count = len(exchanges.place)
    upward = random.random(count) < profile.uplink
    flags = np.where(random.random(count) < profile.acknowledged, ACK, ACK | PSH)
    opens = (random.random(exchanges.count) < profile.opens)[exchanges.exchange]
    opens &= exchanges.place + exchanges.left >= 5
    reset = (random.random(exchanges.count) < 0.12)[exchanges.exchange]
    for place, (bits, from_device) in enumerate(((SYN, True), (SYN | ACK, False), (ACK, True))):
        flags = np.where(opens & (exchanges.place == place), bits, flags)
        upward = np.where(opens & (exchanges.place == place), from_device, upward)
    for left, bits in ((1, FIN | ACK), (0, ACK)):
        flags = np.where(opens & (exchanges.left == left), np.where(reset & (left == 0), RST, bits), flags)
    congested = (random.random(exchanges.count) < 0.004)[exchanges.exchange] & (flags == SYN)
    return np.where(congested, flags | ECE | CWR, flags), upward


def _draw(modes: tuple[tuple[int, float], ...], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw payload bytes, each with its weight."""
    sizes, weights = zip(*modes, strict=True)
    return random.choice(np.array(sizes), count, p=np.array(weights))


def _header(flags: NDArray[np.int64], options: NDArray[np.int64], protocol: int) -> NDArray[np.int64]:
    """Tell the bytes of transport headers; a SYN negotiates with 20 bytes of options."""
    if protocol == TCP:
        return np.where(flags & SYN != 0, 40, np.where(flags & RST != 0, 20, 20 + options))
    return np.full_like(flags, 8 if protocol == UDP else 0)


def frame_size(content: NDArray[np.int64], *, arp: bool, padded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tell the bytes of frames.

    Args:
        content: Bytes of transport header and payload.
        arp: Whether they are ARP messages, 28 bytes instead of an IP header and its content.
        padded: Which frames crossed a wire before the capture, which pads short ones.

    Returns:
        Bytes, with the Ethernet header.
    """
    bare = _ETHERNET + (np.full_like(content, 28) if arp else _IP + content)
    return np.clip(bare, np.where(padded, _PADDED, 42), _LARGEST)


@dataclass(frozen=True)
class Relay:
    """What a capture sees of packets that pass twice.

    Attributes:
        delay: Median microseconds between the two sightings; the delay is log-normal.
        delay_spread: Standard deviation of its logarithm.
        share: Share of packets of which both sightings are captured.
        lost: Share of packets that get lost on the way and are sent again.
        resent_after: Mean microseconds until they are.
        proxy_ttl: Time to live of TCP packets, which come out of a proxy that ends connections and opens its own;
            others are forwarded with one less to live.
    """

    delay: float
    delay_spread: float
    share: float
    lost: float
    resent_after: float
    proxy_ttl: int


def relay(packets: Packets, way: Relay, *, random: np.random.Generator) -> Packets:
    """Show packets a second time, as an attacker passes them on: later, and not quite the same.

    Args:
        packets: What the devices send.
        way: How.
        random: Source of randomness.

    Returns:
        The packets, with their copies and those sent again.
    """
    passing = packets.protocol != ARP
    first = packets.take(passing & (random.random(len(packets)) < way.share))
    delay = way.delay * random.lognormal(0.0, way.delay_spread, len(first))
    copy = replace(
        first,
        time=first.time + 1 + np.rint(delay).astype(np.int64),
        ttl=np.where(first.protocol == TCP, way.proxy_ttl, first.ttl - 1),
        size=np.maximum(first.size, _PADDED),
    )
    lost = packets.take(passing & (packets.protocol == TCP) & (random.random(len(packets)) < way.lost))
    wait = np.rint(random.exponential(way.resent_after, len(lost))).astype(np.int64)
    return merge([packets, copy, replace(lost, time=lost.time + 1 + wait)])


@dataclass(frozen=True)
class Sender:
    """What an attacker sends, packet after packet.

    Attributes:
        protocol: IP protocol number, 0 for ARP.
        sizes: Frame bytes, each with its weight.
        every: Mean microseconds between two packets.
        ttl: Time to live.
        fragments: Fragments of one message; the first one alone shows the transport header.
    """

    protocol: int
    sizes: tuple[tuple[int, float], ...]
    every: float
    ttl: int
    fragments: int = 1


def send(sender: Sender, *, seconds: float, random: np.random.Generator) -> Packets:
    """Let an attacker send, now faster, now slower.

    Args:
        sender: What and how fast.
        seconds: For how long.
        random: Source of randomness.

    Returns:
        The packets, in order of time.
    """
    count = int(random.poisson(seconds * _SECOND / sender.every))
    slowness = np.repeat(random.lognormal(0.0, 0.6, count // 200 + 1), 200)[:count]
    waited = np.cumsum(random.exponential(1.0, count) * slowness)
    time = np.rint(waited * (seconds * _SECOND / max(waited[-1], 1.0) if count else 0.0)).astype(np.int64)
    place = np.arange(count) % sender.fragments
    size = _draw(sender.sizes, count, random)
    last = (sender.fragments > 1) & (place == sender.fragments - 1)
    zeros = np.zeros(count, dtype=np.int64)
    return Packets(
        time=time,
        size=np.where(last, 60 + size // 4, size),
        protocol=zeros + sender.protocol,
        ttl=zeros + (0 if sender.protocol == ARP else sender.ttl),
        flags=zeros,
        header=zeros,
        port=zeros,
        fragment=place > 0,
        device=zeros - 1,
    )
