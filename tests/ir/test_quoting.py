"""Quoting: whatever a text is, each target reads it back as one text, and nothing else."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from graphmem.ir import quoting
from graphmem.ir.errors import InputError
from tests.hostile import HOSTILE

# Anything that protobuf may hold, with what targets care about more often than chance has it.
FRAGMENTS = [*"'\"\\`|<>&*/?=+-@#$~%:[]{}()!_ \n\r\t\x00\x1b\x9b\u202e\u2028é中a"]
FRAGMENTS += ["a_b", "__", "*/", "/*", "??", "</", "www.", "://", "'="]
ODD = st.one_of(
    st.sampled_from(list(HOSTILE.values())), st.lists(st.sampled_from(FRAGMENTS)).map("".join), st.text(st.characters())
)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@given(ODD)
def test_what_is_shown_is_one_printable_line_of_the_same_length(text: str) -> None:
    line = quoting.shown(text)
    assert line.isprintable()
    assert len(line) == len(text)
    assert all(a in (b, "?") for a, b in zip(line, text, strict=True))


@given(ODD)
def test_a_python_literal_is_the_text_again_and_stays_on_its_line(text: str) -> None:
    literal = quoting.python_string(text)
    assert ast.literal_eval(literal) == text
    assert literal.isprintable()
    assert literal[0] == literal[-1] == '"'


@given(ODD)
def test_a_python_comment_holds_no_code(text: str) -> None:
    assert ast.parse(quoting.python_comment(text)).body == []


@given(ODD)
def test_a_c_comment_ends_where_it_ends(text: str) -> None:
    comment = quoting.c_comment(text)
    assert comment.isascii()
    assert comment.isprintable()
    assert comment.find("*/", 2) == len(comment) - 2
    assert "/*" not in comment[1:]
    assert "\\" not in comment
    assert "??" not in comment


@given(st.lists(ODD))
def test_c_identifiers_tell_names_apart(names: list[str]) -> None:
    made = quoting.c_identifiers(names)
    assert len(set(made)) == len(made) == len(names)
    assert all(re.fullmatch(r"[0-9A-Z_]+", name) for name in made)


@given(ODD)
def test_a_csv_cell_is_no_formula_and_is_read_back(text: str) -> None:
    cell = quoting.csv_cell(text)
    assert cell.isprintable()
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert quoting.csv_name(cell) == text
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([cell, 1])
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [[cell, "1"]]


@given(st.lists(ODD))
def test_csv_names_tell_rows_apart(names: list[str]) -> None:
    assert len(set(quoting.csv_names(names))) == len(names)


@pytest.mark.parametrize("cell", ["plain", "'quoted'", "it's", "'", "'\\q"])
def test_a_cell_of_another_program_is_its_own_text(cell: str) -> None:
    assert quoting.csv_name(cell) == cell


@given(ODD)
def test_markup_is_text_in_content_and_in_attributes(text: str) -> None:
    quoted = quoting.markup(text)
    found = ElementTree.fromstring(f'<a b="{quoted}">{quoted}</a>')
    assert found.text == (quoting.shown(text) or None)
    assert found.get("b") == quoting.shown(text)


@given(ODD)
def test_markdown_is_text_in_a_cell(text: str) -> None:
    quoted = quoting.markdown(text)
    html = (
        MarkdownIt("commonmark")
        .enable("table")
        .enable("strikethrough")
        .render(f"| a | b |\n|---|---|\n| {quoted} | 1 |\n")
    )
    root = ElementTree.fromstring(html)
    row = root.findall("./tbody/tr/td")
    assert len(row) == 2
    assert {element.tag for element in row[0].iter()} <= {"td", "code"}
    assert "".join(row[0].itertext()) == " ".join(quoting.shown(text).split())


@given(ODD)
def test_a_label_of_graphviz_ends_with_its_quote(text: str) -> None:
    label = quoting.dot_label([text, "second"]).replace('"', '\\"')  # as the graphviz package quotes it
    assert re.fullmatch(r'(?:\\.|[^"\\])*', label, re.DOTALL)
    assert not re.fullmatch(r"\s*<.*>\s*", label, re.DOTALL)
    assert re.sub(r"\\(.)", r"\1", unescape(label)) == f"{quoting.shown(text)}\nsecond"


@given(ODD)
def test_json_is_read_back_and_prints(text: str) -> None:
    for written in (quoting.json_text([text]), quoting.compact_json([text])):
        assert json.loads(written) == [text]
        assert written.replace("\n", "").isprintable()


@given(ODD)
def test_json_of_a_page_is_the_text_as_shown_and_ends_no_script(text: str) -> None:
    written = quoting.script_json({text: [text]})
    assert json.loads(written) == {quoting.shown(text): [quoting.shown(text)]}
    assert written.isprintable()
    assert "<" not in written


@given(ODD)
def test_a_workflow_command_of_github_is_one_line(text: str) -> None:
    for quoted in (quoting.github_message(text), quoting.github_property(text)):
        assert quoted.isprintable()
        assert quoted.replace("%25", "%").replace("%3A", ":").replace("%2C", ",").count("\n") == 0
    assert not set(quoting.github_property(text)) & set(":,")


@given(ODD)
def test_a_message_of_sarif_has_no_link_and_no_placeholder(text: str) -> None:
    quoted = quoting.sarif_message(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]]", quoted)
    assert not re.search(r"\{\d+\}", quoted.replace("{{", "").replace("}}", ""))


@given(ODD)
def test_an_error_is_one_printable_line(text: str) -> None:
    line = str(InputError(f"node '{text}' reads '{text}', which nothing writes"))
    assert line.isprintable()
    assert line.startswith("node '")
    assert line.endswith("which nothing writes")


@pytest.mark.parametrize("name", ["q" * 4000, "a b " * 1000, "a'b'" * 1000, "/" + "layer/" * 800])
def test_an_error_shortens_the_names_and_not_itself(name: str) -> None:
    line = str(InputError(f"node 'z' (Relu) reads '{name}', which nothing writes; export the model again"))
    assert len(line) <= quoting.LONGEST_LINE
    assert line.startswith("node 'z' (Relu) reads '")
    assert line.endswith("export the model again")


def test_an_ordinary_sentence_is_left_as_it_is() -> None:
    told = "node 'a' (Relu) reads 'b', which nothing writes before it; " * 4
    assert quoting.sentence(told) == told.strip()


@given(ODD, st.integers(4, 60))
def test_a_clipped_text_keeps_its_ends(text: str, most: int) -> None:
    short = quoting.clipped(text, most)
    assert len(short) <= most
    assert short == text or (text.startswith(short.partition("…")[0]) and len(text) > most)
