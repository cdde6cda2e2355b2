"""HostTraffic and a link -> what an offload costs: seconds a step and host memory, and the line that says so.

LINKS: bytes per second and direction of a link between GPU and host, as 80 % of the rate of its standard: 128b/130b
coding of 8, 16 or 32 GT/s on 16 lanes (PCI Express base specifications 3.0, 4.0, 5.0) gives 15.75, 31.5 and 63.0 GB/s,
of which copies from pinned memory reach about four fifths. Copies of pageable memory are slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphmem.ir.training import HostTraffic
from graphmem.report.units import size

EFFICIENCY = 0.8
LINKS = {
    "PCIe 3.0 x16": EFFICIENCY * 15.75e9,
    "PCIe 4.0 x16": EFFICIENCY * 31.5e9,
    "PCIe 5.0 x16": EFFICIENCY * 63.0e9,
}
LINK = "PCIe 4.0 x16"


@dataclass(frozen=True, slots=True)
class OffloadCost:
    """What one step of an offload costs: `seconds` of copies that nothing hides, and pinned bytes on the host."""

    seconds: float
    host_bytes: int
    link: str
    bandwidth: float


def offload_cost(traffic: HostTraffic, link: str = LINK) -> OffloadCost:
    """The cost over a link of LINKS."""
    return OffloadCost(traffic.seconds(LINKS[link]), traffic.host, link, LINKS[link])


def offload_text(traffic: HostTraffic, link: str = LINK) -> str:
    """Two lines for the terminal."""
    cost = offload_cost(traffic, link)
    return (
        f"\noffload: {size(traffic.to_host)} to the host and {size(traffic.to_device)} back a step, "
        f"{1000 * cost.seconds:.3g} ms at {cost.bandwidth / 1e9:.1f} GB/s"
        f"\n         ({link} at {EFFICIENCY:.0%} of its rate, nothing hidden); {size(cost.host_bytes)} of host memory"
    )
