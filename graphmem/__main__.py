"""`python -m graphmem` is the `graphmem` command."""

from __future__ import annotations

from graphmem.cli import main

main()
