"""Simulated traffic of a network of small devices, as rows of 39 features: simulated, not real.

What is modelled: packets of some hundred devices, each of a profile, with its own pace, payload, TCP options and time
to live; connections that open and close; bursts and long pauses; and per class

- `Benign`: the devices alone.
- `MITM-ArpSpoofing`: the same devices, whose packets an attacker relays, so that they pass twice, the second time
  later and with another time to live (TCP through a proxy on the attacker's laptop); some get lost and are sent again;
  forged ARP replies and ICMP redirects, some dozens a second, keep the attacker between.
- `DDoS-ICMP_Fragmentation`: the same devices beneath a flood of ICMP messages in fragments.
- `Mirai-greip_flood`: the same devices beneath a flood of IP packets in GRE.

A capture is one stream of packets, cut into consecutive windows: of 100 packets for floods, of 10 for the others. A
class of few rows is drawn from a capture of many windows, so that they are no neighbours in time. The features are
computed from the packets, so every rule that binds real rows binds these.

What is not modelled: contents, addresses, congestion control, the time of day, how devices react to an attack,
attackers who adapt, and all the oddities of a real network. A detector's score on these rows says whether a generator
does its work, and nothing about any real network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.errors import LabelError, SettingError, nearest
from flowmint.flows.simulate.devices import ARP, GRE, ICMP, draw_devices
from flowmint.flows.simulate.features import FEATURES, features_of
from flowmint.flows.simulate.packets import Relay, Sender, merge, relay, send, talk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowmint.flows.simulate.packets import Packets

__all__ = ["CLASSES", "FEATURES", "LABEL", "simulate"]

LABEL = "Label"
"""Column that holds a row's class."""

SHORTEST = 2000
"""Fewest windows of a capture; where fewer rows are asked for, they are drawn from these."""


@dataclass(frozen=True)
class _Capture:
    """One class's capture: its window, how fast packets come, and what the attacker does."""

    number: int
    packets_per_second: float
    senders: tuple[Sender, ...] = ()
    relayed: bool = False


_ATTACKER = Relay(delay=900.0, delay_spread=0.9, share=0.98, lost=0.05, resent_after=200_000.0, proxy_ttl=128)

_CAPTURES = {
    "Benign": _Capture(10, 170.0),
    "DDoS-ICMP_Fragmentation": _Capture(100, 6000.0, (Sender(ICMP, ((1514, 1.0),), every=170.0, ttl=64, fragments=5),)),
    "Mirai-greip_flood": _Capture(100, 5000.0, (Sender(GRE, ((578, 0.6), (592, 0.4)), every=200.0, ttl=64),)),
    "MITM-ArpSpoofing": _Capture(
        10,
        280.0,
        (
            Sender(ARP, ((42, 0.3), (60, 0.7)), every=60_000.0, ttl=0),
            Sender(ICMP, ((70, 0.4), (82, 0.3), (590, 0.3)), every=30_000.0, ttl=128),
        ),
        relayed=True,
    ),
}

CLASSES = tuple(_CAPTURES)
"""Names of the classes that can be simulated."""


def simulate(rows_per_class: Mapping[str, int], *, seed: int) -> pl.DataFrame:
    """Simulate rows of some classes.

    A class's rows depend on the seed and on how many rows of it are asked for, not on the other classes.

    Args:
        rows_per_class: How many rows of each class.
        seed: Seed of the captures; another seed is another day in the same network.

    Returns:
        The rows, class after class as given and in order of time, with the columns `FEATURES` and `Label`.

    Raises:
        LabelError: If a class is unknown.
        SettingError: If a number of rows or the seed is negative.
    """
    _check(rows_per_class, seed)
    parts = [_rows_of(name, rows, seed) for name, rows in rows_per_class.items() if rows]
    return pl.concat(parts or [_rows_of(CLASSES[0], 1, seed).clear()])


def _check(rows_per_class: Mapping[str, int], seed: int) -> None:
    for name, rows in rows_per_class.items():
        if name not in _CAPTURES:
            raise LabelError(f"class {name!r} cannot be simulated: {nearest(name, CLASSES)}")
        if rows < 0:
            raise SettingError(f"{rows} rows of class {name!r} were asked for; give 0 or more")
    if seed < 0:
        raise SettingError(f"the seed is {seed}; give a whole number of 0 or more")


def _rows_of(name: str, rows: int, seed: int) -> pl.DataFrame:
    capture = _CAPTURES[name]
    random = np.random.default_rng([seed, CLASSES.index(name)])
    windows = max(rows, SHORTEST)
    needed = windows * capture.number + 1
    seconds = 1.5 * needed / capture.packets_per_second + 5.0
    packets = _capture(capture, seconds=seconds, random=random)
    while len(packets) < needed:
        seconds *= 1.5
        packets = _capture(capture, seconds=seconds, random=random)
    # exchanges under way when a capture begins are not simulated: its middle is as busy as any other
    start = (len(packets) - needed) // 2
    table = features_of(packets.take(slice(start, start + needed)), number=capture.number)
    table = table[np.sort(random.permutation(windows)[:rows])]
    return table.with_columns(pl.lit(name).alias(LABEL))


def _capture(capture: _Capture, *, seconds: float, random: np.random.Generator) -> Packets:
    """Record the network for a while, with what the attacker does."""
    devices = draw_devices(random)
    packets = talk(devices, seconds=seconds, random=random)
    if capture.relayed:
        packets = relay(packets, _ATTACKER, random=random)
    return merge([packets, *(send(sender, seconds=seconds, random=random) for sender in capture.senders)])
