"""A step or run -> an estimate of the bytes that its operators move: what compares the cost of two ways to train.

Every tensor made in the step is written once and read once; parameters are read by the forward and by the backward
pass; the optimizer reads parameter, gradient and state, and writes parameter and state. On a device limited by memory
bandwidth, time goes with this sum; the figure is for comparing settings, not for telling seconds.

HostTraffic and a link -> what an offload costs: seconds a step and host memory, and the line that says so.

LINKS: bytes per second and direction of a link between GPU and host, as 80 % of the rate of its standard: 128b/130b
coding of 8, 16 or 32 GT/s on 16 lanes (PCI Express base specifications 3.0, 4.0, 5.0) gives 15.75, 31.5 and 63.0 GB/s,
of which copies from pinned memory reach about four fifths. Copies of pageable memory are slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphmem.ir.training import HostTraffic
from graphmem.report.units import size
from graphmem.schedule.eager import STEADY, TrainingTrace

# Passes over what exists before the step: (in each forward and backward pass, in the optimizer).
_PASSES = {"parameter": (2, 2), "optimizer_state": (0, 2), "buffer": (1, 0), "constant": (1, 0), "input": (1, 0)}


def moved_by_step(trace: TrainingTrace, accumulate: int, is_training: bool) -> int:
    """Estimated bytes read and written from one optimizer step to the next, `accumulate` passes of the batch.

    Of a forward run: in that run, which reads the parameters once.
    """
    steps = trace.machine.steps
    simulated = min(accumulate, STEADY)
    passes = optimizer = 0
    for record in trace.machine.records:
        if record.start < trace.first_step:
            in_pass, in_optimizer = _PASSES.get(record.kind, (1, 0)) if is_training else (1, 0)
            passes += in_pass * record.nbytes * simulated
            optimizer += in_optimizer * record.nbytes
        elif steps[record.start].phase == "optimizer":
            optimizer += 2 * record.nbytes
        else:
            passes += (3 if record.kind == "gradient" else 2) * record.nbytes
    return passes * accumulate // simulated + optimizer


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
        f"\noffload: {size(traffic.to_host)} to the host, {size(traffic.to_device)} back a step; "
        f"{size(cost.host_bytes)} of host memory"
        f"\n         {1000 * cost.seconds:.3g} ms at {cost.bandwidth / 1e9:.1f} GB/s "
        f"({link} at {EFFICIENCY:.0%} of its rate), nothing hidden"
    )
