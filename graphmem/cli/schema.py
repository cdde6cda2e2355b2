"""`graphmem schema KIND`: print the JSON Schema that documents of that kind follow."""

from __future__ import annotations

import click

KINDS = ("analysis", "training", "ranks", "plan", "checkpoint", "verification", "check", "diff", "fit", "sweep")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
def schema(kind: str) -> None:
    """Print the JSON Schema of KIND, a document that `--format json` writes."""
    from graphmem.report.envelope import schema_text

    click.echo(schema_text(kind))
