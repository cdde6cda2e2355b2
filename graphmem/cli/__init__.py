"""The command line: `graphmem MODEL` and one module per subcommand, imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from graphmem.ir.errors import InputError
from graphmem.ir.quoting import sentence
from graphmem.ir.version import __version__

# Subcommand -> (module that holds a click command of the same name, its line in --help).
COMMANDS = {
    "analyze": ("graphmem.cli.analyze", "Peak activation memory of inference, and what is alive there."),
    "train": ("graphmem.cli.train", "Peak memory of one PyTorch training step, from the forward file alone."),
    "plan": ("graphmem.cli.plan", "Pack every buffer into one arena, with a proved bound."),
    "checkpoint": ("graphmem.cli.checkpoint", "What to keep and what to recompute in training, at a memory budget."),
    "report": ("graphmem.cli.report", "One offline HTML page in which the peak explains itself."),
    "draw": ("graphmem.cli.draw", "The graph around the peak, or a level of the whole, as .svg, .png or .gv."),
    "export": ("graphmem.cli.export", "Files for memory_viz, Netron, Model Explorer, speedscope, Perfetto; CSV; ONNX."),
    "check": ("graphmem.cli.check", "Gates for CI: exit 1 when a model needs more memory than allowed."),
    "diff": ("graphmem.cli.diff", "What moved between two models, by module and by tensor."),
    "verify": ("graphmem.cli.verify", "Run a model with ONNX Runtime; predicted beside measured."),
    "optimize": ("graphmem.cli.optimize", "Write a reordered copy that ONNX Runtime runs in less memory."),
    "sweep": ("graphmem.cli.sweep", "Many models x many settings, on this machine or a Dask cluster."),
    "fit": ("graphmem.cli.fit", "Does it fit a device, up to which batch, and what would make it fit, cheapest first."),
    "devices": ("graphmem.cli.devices", "The devices known by name, and their usable memory."),
    "schema": ("graphmem.cli.schema", "Print the JSON Schema of a kind of document."),
    "completion": ("graphmem.cli.completion", "Print the completion script of a shell."),
}
DEFAULT_COMMAND = "analyze"


class LazyGroup(click.Group):
    """A group that knows its subcommands by name and imports one only to run it; a bare MODEL means `analyze MODEL`."""

    def list_commands(self, _: click.Context) -> list[str]:
        """All subcommands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name, imported now, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before arguments that start with none."""
        if args and args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version"):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Subcommands, or files where none begins like that: a bare MODEL is as good."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="graphmem")
def group() -> None:
    """How much memory an exported ONNX model needs, exactly, and the cheapest way to make it fit.

    `graphmem MODEL` is `graphmem analyze MODEL`.

    Exit codes: 0 done; 1 a gate failed or it does not fit; 2 wrong usage or an invalid model; 3 incomplete figures and
    --strict.
    """


def main() -> None:
    """Run the command line; every error that is the caller's to mend becomes one line on stderr and exit code 2."""
    try:
        code = group.main(
            prog_name="graphmem", standalone_mode=False
        )  # the code of a click Exit, or what the command returned
        sys.exit(code if isinstance(code, int) else 0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.message = sentence(error.message)  # type: ignore[misc]
        error.show()
        sys.exit(2)
    except InputError as error:
        click.echo(f"graphmem: error: {error}", err=True)
        sys.exit(2)
