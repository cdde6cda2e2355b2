"""`graphmem devices`: the catalogue of devices and what of their memory a model can have."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True)
def devices(format_: str) -> None:
    """List the devices known by name: nominal, reported and usable memory, bandwidth, source."""
    from graphmem.fitting.devices import catalogue
    from graphmem.report.devices import device_document, devices_text

    known = catalogue()
    if format_ == "json":
        documents = {"schema": "graphmem.devices/1", "devices": [device_document(device) for device in known]}
        click.echo(json.dumps(documents, indent=1))
    else:
        click.echo(devices_text(known))
