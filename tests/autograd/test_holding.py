"""How long Python names hold values, read off tracebacks: calls of a few lines, the position of each release."""

from __future__ import annotations

from graphmem.autograd.frames import invocations
from graphmem.autograd.releases import last_holds
from graphmem.ir.graph import Frame, Origin
from graphmem.ir.program import Call, Program, Ref

ROOT = ("net.py", "forward")


def call(out: str, *reads: str, at: tuple[int, str], inner: tuple[int, str] | None = None, module: str = "") -> Call:
    """A call under line `at` of the model's forward, and under line `inner` of a module's forward."""
    frames = [Frame(ROOT[0], at[0], ROOT[1], at[1])]
    frames += [Frame("layer.py", inner[0], "forward", inner[1])] if inner else []
    origin = Origin(path=(module,) if module else (), frames=tuple(frames))
    return Call("aten.relu", tuple(Ref(name) for name in reads), tuple(out.split()), origin=origin)


def dies(calls: list[Call], *outputs: str) -> dict[str, int]:
    """Value -> position of the call after which it is released."""
    found = last_holds(Program(tuple(calls), (), outputs or calls[-1].outputs))
    return {name: position for position, names in found.items() for name in names}


def test_a_name_holds_its_value_until_it_is_bound_again() -> None:
    calls = [
        call("a", "x", at=(1, "y = f(x)")),
        call("b", "a", at=(2, "z = g(y)")),
        call("c", "b", at=(3, "y = h(z)")),
        call("d", "c", at=(4, "return k(y)")),
    ]
    assert dies(calls)["a"] == 2  # read by 1, but named y until line 3 has run
    assert dies(calls)["b"] == 3  # z, until the function returns


def test_without_names_a_value_goes_with_its_last_reader() -> None:
    calls = [call("a", "x", at=(1, "return g(f(x))")), call("b", "a", at=(1, "return g(f(x))"))]
    assert dies([*calls, call("c", "b", at=(2, "return c"))])["a"] == 1


def test_names_of_a_module_go_when_it_returns() -> None:
    calls = [
        call("a", "x", at=(1, "x = self.l(x)"), inner=(8, "q = f(x)"), module="l"),
        call("b", "a", at=(1, "x = self.l(x)"), inner=(9, "r = g(q)"), module="l"),
        call("c", "b", at=(1, "x = self.l(x)"), inner=(10, "return h(r)"), module="l"),
        call("d", "c", at=(2, "return k(x)")),
    ]
    assert dies(calls)["a"] == dies(calls)["b"] == 2


def test_pieces_are_bound_to_their_names_in_order() -> None:
    calls = [
        call("a b", "x", at=(1, "p, q = f(x)")),
        call("c", "a", at=(2, "p = g(p)")),
        call("d", "b", at=(3, "r = h(q)")),
        call("e", "d", "c", at=(4, "return k(r, p)")),
    ]
    assert dies(calls)["a"] == 1
    assert dies(calls)["b"] == 3


def test_a_list_holds_what_is_appended_until_the_end() -> None:
    calls = [
        call("a", "x", at=(1, "outs.append(f(x))")),
        call("b", "a", at=(2, "y = torch.stack(outs)")),
        call("c", "b", at=(3, "return g(y)")),
    ]
    assert dies(calls)["a"] == 2


def test_an_item_that_is_written_over_goes() -> None:
    calls = [
        call("a b", "x", at=(1, "maps = [f(x) for f in fs]")),
        call("c", "a", "b", at=(2, "maps[0] = maps[0] + maps[1]")),
        call("d", "c", "x", at=(3, "y = g(maps)")),
        call("e", "d", at=(4, "return h(y)")),
    ]
    assert dies(calls)["a"] == 1
    assert dies(calls)["c"] == 3


def test_a_second_name_is_found_where_the_first_was_lost() -> None:
    calls = [
        call("a", "x", at=(1, "x = f(x)")),  # residual = x, which no call shows
        call("b", "a", at=(3, "x = g(x)")),
        call("c", "a", "b", at=(4, "x = residual + x")),
        call("d", "c", at=(5, "x = h(x)")),
        call("e", "d", at=(6, "return k(x)")),
    ]
    assert dies(calls)["a"] == 4


def test_a_loop_over_modules_runs_one_function() -> None:
    loop = [
        call(f"v{i}", f"v{i - 1}", at=(5, "for m in ms: x = m(x)"), inner=(20, "return f(x)"), module=f"m.{i}")
        for i in range(3)
    ]
    runs = invocations(loop)
    assert [r.function for r in runs if r.file == "net.py"] == ["forward"]
    assert len([r for r in runs if r.file == "layer.py"]) == 3


def test_a_module_that_is_called_twice_runs_twice() -> None:
    lines = ((8, "q = f(x)"), (9, "return g(q)"))
    calls = [call(f"a{i}", "x", at=(1, "for _ in r: x = self.l(x)"), inner=lines[i % 2], module="l") for i in range(4)]
    assert len([r for r in invocations(calls) if r.file == "layer.py"]) == 2


def test_an_item_is_written_over_by_a_step_that_reads_a_younger_one() -> None:
    text, line = "states[n] = cell(y, states[n])", (8, "return f(x)")
    calls = [
        call("a b", "x", at=(1, "states = [f(x) for f in fs]")),
        call("c", "a", "x", at=(2, text), inner=line, module="cells.0"),
        call("d", "b", "c", at=(2, text), inner=line, module="cells.1"),
        call("e", "c", "x", at=(3, "y = x[t]")),
        call("f", "c", "e", at=(2, text), inner=line, module="cells.0"),
        call("g", "d", "f", at=(4, "return h(states)")),
    ]
    assert dies(calls)["a"] == 1
    assert dies(calls)["c"] == 5  # read by 2 as the y of the second cell, and not replaced there


def test_a_name_that_is_none_where_it_is_compared_holds_nothing_before() -> None:
    text = "xs = f(x) if xs is None else xs + f(x)"
    calls = [
        call("a", "x", at=(1, text), module="one"),
        call("b", "a", at=(2, "x = xs / 2")),  # xs = None, which no call shows
        call("c", "b", at=(1, text), module="two"),
        call("d", "c", at=(3, "return g(xs)")),
    ]
    assert dies(calls)["a"] == 1


def test_generated_code_is_part_of_the_function_around_it() -> None:
    inside = Origin(frames=(Frame("<eval_with_key>.7", 5, "forward", "b = torch.ops.aten.relu.default(a);  a = None"),))
    calls = [
        call("a", "x", at=(1, "y = f(x)")),
        Call("aten.relu", (Ref("a"),), ("b",), origin=inside),
        call("c", "b", at=(3, "z = g(b)")),
        call("d", "c", at=(4, "return h(z)")),
    ]
    assert dies(calls)["a"] == 3  # y, which the function holds until it returns


def test_a_loop_over_a_list_of_modules_binds_its_name_each_time() -> None:
    line = (8, "return f(x)")
    calls = [
        call("a", "x", at=(1, "h = f(x)")),
        *(call(f"b{i}", f"b{i - 1}" if i else "a", at=(2, "h = layer(h)"), inner=line, module=f"layers.{i}")
          for i in range(3)),
        call("c", "b2", at=(3, "return g(h)")),
    ]  # fmt: skip
    assert [dies(calls)[name] for name in ("a", "b0", "b1")] == [1, 2, 3]
