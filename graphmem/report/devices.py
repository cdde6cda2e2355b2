"""Devices -> a table for the terminal, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.ir.device import Device
from graphmem.ir.quoting import lines_text
from graphmem.report.units import size


def device_document(device: Device) -> dict[str, Any]:
    """One device as plain values; bytes are integers, bandwidth in 10^9 bytes a second."""
    return {
        "name": device.name,
        "maker": device.maker,
        "kind": device.kind,
        "nominal_bytes": device.nominal_bytes,
        "reported_bytes": device.reported_bytes,
        "reported_measured": device.is_measured,
        "usable_bytes": device.usable_bytes(),
        "bandwidth_gb_per_s": device.bandwidth,
        "source": device.source,
    }


def devices_text(devices: Sequence[Device]) -> str:
    """One line per device; "~" marks a reported size that follows from the kind of memory instead of being measured."""
    wide = max(len(device.name) for device in devices)
    lines = [f"{'device':<{wide}}  {'nominal':>10}  {'reported':>11}  {'usable':>10}  {'GB/s':>6}  kind"]
    for device in devices:
        reported = ("" if device.is_measured else "~") + size(device.reported_bytes)
        lines.append(
            f"{device.name:<{wide}}  {size(device.nominal_bytes):>10}  {reported:>11}  "
            f"{size(device.usable_bytes()):>10}  {device.bandwidth:>6.0f}  {device.maker} {device.kind}"
        )
    lines.append("")
    lines.append("reported: the total a framework sees on Linux (~ inferred); usable: less 450 MiB of context")
    return lines_text(lines)
