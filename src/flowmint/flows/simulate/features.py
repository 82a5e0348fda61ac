"""Windows of packets: the 39 features of CICIoT2023's second release, computed by their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.flows.simulate.devices import ARP, GRE, ICMP, IGMP, TCP, UDP
from flowmint.flows.simulate.packets import ACK, CWR, ECE, FIN, PSH, RST, SYN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flowmint.flows.simulate.packets import Packets

FEATURES = (
    "Header_Length", "Protocol Type", "Time_To_Live", "Rate",
    "fin_flag_number", "syn_flag_number", "rst_flag_number", "psh_flag_number", "ack_flag_number",
    "ece_flag_number", "cwr_flag_number", "ack_count", "syn_count", "fin_count", "rst_count",
    "HTTP", "HTTPS", "DNS", "Telnet", "SMTP", "SSH", "IRC", "TCP", "UDP", "DHCP", "ARP", "ICMP", "IGMP", "IPv", "LLC",
    "Tot sum", "Min", "Max", "AVG", "Std", "Tot size", "IAT", "Number", "Variance",
)  # fmt: skip
"""Names and order of the features, as in the published files."""

_FLAGS = {"fin": FIN, "syn": SYN, "rst": RST, "psh": PSH, "ack": ACK, "ece": ECE, "cwr": CWR}
_TCP_PORTS = {"HTTP": 80, "HTTPS": 443, "Telnet": 23, "SMTP": 25, "SSH": 22, "IRC": 6667}
_UDP_PORTS = {"DNS": (53,), "DHCP": (67, 68)}
_PROTOCOLS = np.array([ARP, ICMP, IGMP, TCP, UDP, GRE])
_SECOND = 1e6


def features_of(packets: Packets, *, number: int) -> pl.DataFrame:
    """Cut a stream into windows and describe each.

    Args:
        packets: The stream in order of time; its first packet only tells when the first window's wait began,
            and the others are a multiple of `number`.
        number: Packets of a window.

    Returns:
        One row per window, in order of time, with the columns `FEATURES`.
    """
    since = packets.time[:-1:number]
    window = packets.take(slice(1, None))
    columns = {
        **_indicators(window, number),
        **_sizes(window.size.reshape(-1, number)),
        **_pace(window.time.reshape(-1, number), since),
        "Header_Length": window.header.reshape(-1, number).sum(axis=1) / number,
        "Time_To_Live": window.ttl.reshape(-1, number).sum(axis=1) / number,
        "Protocol Type": _most_frequent(window.protocol.reshape(-1, number)),
        "Number": np.full(len(since), number),
    }
    return pl.DataFrame({name: columns[name] for name in FEATURES})


def _indicators(window: Packets, number: int) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Count packets that have a property; the counts that the files hold beside their shares as well."""
    tcp, udp = window.protocol == TCP, window.protocol == UDP
    has = {f"{name}_flag_number": window.flags & bit != 0 for name, bit in _FLAGS.items()}
    has |= {name: tcp & (window.port == port) for name, port in _TCP_PORTS.items()}
    has |= {name: udp & np.isin(window.port, ports) for name, ports in _UDP_PORTS.items()}
    has |= {"TCP": tcp, "UDP": udp, "ARP": window.protocol == ARP, "IGMP": window.protocol == IGMP}
    has |= {"ICMP": (window.protocol == ICMP) & ~window.fragment, "IPv": window.protocol != ARP}
    counts = {name: flags.reshape(-1, number).sum(axis=1) for name, flags in has.items()}
    shares = {name: count / number for name, count in counts.items()}
    repeated = {f"{name}_count": counts[f"{name}_flag_number"] for name in ("ack", "syn", "fin", "rst")}
    return {**shares, **repeated, "LLC": shares["IPv"]}


def _sizes(size: NDArray[np.int64]) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Describe frame lengths; the variance is one division of whole numbers, so that it is as exact as can be."""
    number = size.shape[1]
    total, squares = size.sum(axis=1), (size**2).sum(axis=1)
    variance = (number * squares - total**2) / (number * (number - 1))
    mean = total / number
    return {
        "Tot sum": total,
        "Min": size.min(axis=1),
        "Max": size.max(axis=1),
        "AVG": mean,
        "Std": np.sqrt(variance),
        "Tot size": mean,
        "Variance": variance,
    }


def _pace(time: NDArray[np.int64], since: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Describe the times: the rate within a window, and the mean wait with the gap before it."""
    number = time.shape[1]
    return {
        "Rate": number * _SECOND / (time[:, -1] - time[:, 0]),
        "IAT": (time[:, -1] - since) / _SECOND / number,
    }


def _most_frequent(protocol: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tell each window's most frequent protocol number, the smallest of equals."""
    counts = (protocol[:, :, None] == _PROTOCOLS).sum(axis=1)
    most: NDArray[np.int64] = _PROTOCOLS[counts.argmax(axis=1)]
    return most
