"""Graph, TrainingOptions -> the Program of a step or a run; every transform of a program is applied here, and once.

Graph --raised--> as the file has it --rebatched--> at the batch asked for        program_of
--prepared--> in its precision --adapted--> with LoRA's adapters            step_program
"""

from __future__ import annotations

from graphmem.autograd.lora import adapted, parsed_lora
from graphmem.autograd.precision import PRECISIONS, prepared
from graphmem.autograd.rebatch import rebatched
from graphmem.ir.graph import Graph
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.raising import raised


def program_of(
    graph: Graph, batch: tuple[int, int] | None = None, options: TrainingOptions | None = None, without: str = ""
) -> Program:
    """The forward pass of the graph; `batch`, as the reader says it, is (the file's, another one that is asked for).

    `without` is a kind of inference to leave out.
    """
    program = raised(graph, options, without)
    return program if batch is None else rebatched(program, *batch)


def step_program(program: Program, options: TrainingOptions) -> Program:
    """The forward pass as a step with these options runs it. Raises OptionError when no layer takes an adapter."""
    lora = parsed_lora(options.lora)
    program = prepared(program, options.precision)
    return program if lora is None else adapted(program, lora, PRECISIONS[options.precision].dtype)
