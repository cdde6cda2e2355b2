"""A model's text -> the same text where it can be nothing but text: one function for each target, and no other way.

A model file names tensors, nodes, modules, files and lines as it likes: with quotes, line breaks, escape sequences,
marks that turn the direction of writing, or a megabyte long. What is written for people goes through `shown` first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

LONGEST = 160  # characters of one name within a sentence
LONGEST_LINE = 1200  # characters of an error, whatever it quotes


def shown(text: str) -> str:
    """One line for people: what does not print (controls, line ends, direction marks, lone surrogates) is "?"."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def clipped(text: str, most: int = LONGEST, joint: str = "…") -> str:
    """The text, or its two ends where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}{joint}{text[len(text) - tail :]}"


def cut(line: str, width: int) -> str:
    """The line, or its beginning where it is wider than `width`."""
    return line if len(line) <= width else line[: width - 1] + "…"


def name_shown(text: str) -> str:
    """A name within a sentence: one line, and its two ends where it is very long."""
    return shown(clipped(text))


def sentence(text: str) -> str:
    """A sentence that quotes names: one line in which no name, quoted or not, is longer than LONGEST."""
    line = shown(" ".join(text.split()))
    if len(line) > LONGEST:
        line = re.sub(r"'[^']*'", lambda found: f"'{clipped(found[0][1:-1])}'", line)
        line = re.sub(rf"\S{{{LONGEST + 3},}}", lambda found: clipped(found[0]), line)
    return clipped(line, LONGEST_LINE)


def lines_text(lines: Iterable[str]) -> str:
    """The lines of a plain text, each of them one line whatever it names."""
    return "\n".join(map(shown, lines))


def python_string(text: str) -> str:
    """A Python literal in double quotes, on one line."""
    body = repr('"' + text)[2:-1]  # repr takes single quotes where the text has a double one, and escapes those inside
    return '"' + body.replace('"', '\\"').replace("\\'", "'") + '"'


def python_comment(text: str) -> str:
    """A comment of one line."""
    return f"# {shown(text)}"


def c_comment(text: str) -> str:
    """A C comment, /* and */ included: printable ASCII that neither ends nor nests it, without trigraphs."""
    inside = re.sub(r"[^ -~]|\*/|/\*|\\|\?\?", "_", text)
    return f"/* {inside} */"


def c_identifiers(names: Iterable[str]) -> list[str]:
    """Upper-case ends of C identifiers in the order given; a clash gets the first free number."""
    words = (re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").upper() for name in names)
    return _distinct((clipped(word, joint="_") or "BUFFER" for word in words), "_")


# A spreadsheet takes a cell that begins like this for a formula (OWASP, CSV injection; the last four are full-width).
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_cell(text: str) -> str:
    r"""A cell that no spreadsheet takes for a formula, on one line: where need be an apostrophe, and escapes after it.

    "=1+1" -> "'=1+1"   "a\n" -> "'a\u000a"   "'a" -> "''a"   anything else as it is; `csv_name` is the way back.
    """
    if text.isprintable() and not text.startswith("'") and text.lstrip()[:1] not in _FORMULA:
        return text
    return "'" + "".join(_csv_letter(c) for c in text)


def _csv_letter(c: str) -> str:
    if c == "\\":
        return "\\\\"
    return c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}"


def csv_name(cell: str) -> str:
    """The text that `csv_cell` made the cell of; a cell that it makes of nothing is its own text."""
    if not cell.startswith("'"):
        return cell
    code = r"\\(\\|u[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})"
    text = re.sub(code, lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), cell[1:])
    return text if csv_cell(text) == cell else cell


def csv_names(names: Iterable[str]) -> list[str]:
    """Cells that tell rows apart; names that several rows share are numbered: "x", "x#2"."""
    return _distinct(map(csv_cell, names), "#")


def _distinct(names: Iterable[str], joint: str) -> list[str]:
    """The names in the order given, each but the first of its kind with the next free number."""
    numbers: dict[str, int] = {}
    taken: dict[str, None] = {}
    for name in names:
        unique = name
        while unique in taken:
            numbers[name] = numbers.get(name, 1) + 1
            unique = f"{name}{joint}{numbers[name]}"
        taken[unique] = None
    return list(taken)


def markup(text: str) -> str:
    """What may stand in HTML and XML, in content and in quoted attributes."""
    return escape(shown(text))


# What means something within a line of Markdown, or to GitHub: a mention, a reference, a formula, a table's bar.
_MARKDOWN = re.compile(r"[\\`*\[\]|~#@$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def markdown(text: str) -> str:
    """Text in a line or a table's cell, as a <code> element, inside of which GitHub links no mention or reference."""
    line = " ".join(shown(text).split())
    inside = _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", escape(line, quote=False))
    return f"<code>{inside}</code>" if line else ""


def dot_label(lines: Iterable[str]) -> str:
    """Lines of a Graphviz label, in which entities and backslashes are read; one that is <...> would be HTML."""
    text = "\n".join(shown(line).replace("\\", "\\\\").replace("&", "&amp;") for line in lines)
    return re.sub(r"^(\s*)<", r"\1&lt;", text)


def github_message(text: str) -> str:
    """The message of a workflow command."""
    return shown(text).replace("%", "%25")


def github_property(text: str) -> str:
    """A property of a workflow command."""
    return github_message(text).replace(":", "%3A").replace(",", "%2C")


def sarif_message(text: str) -> str:
    """The text of a SARIF message, in which [text](place) would be a link and {0} a placeholder (2.1.0, 3.11)."""
    return (
        shown(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("{", "{{").replace("}", "}}")
    )


def file_uri(path: str) -> str:
    """A path as a relative URI reference."""
    return quote(path, errors="replace")


def json_text(document: object, indent: int = 1) -> str:
    """JSON that is read back as it was, and in which what does not print is escaped, since terminals show it too."""
    return _printable_json(json.dumps(document, indent=indent, ensure_ascii=False))


def compact_json(document: object) -> str:
    """The same without a blank or a line end."""
    return _printable_json(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def script_json(document: object) -> str:
    """Compact JSON of texts as shown, for a script element; no text ends it early: only "<" has a meaning there."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return re.sub(r"\\u[0-9a-f]{4}|\\.|[^ -~]", lambda found: _in_script(found[0]), text)


def _in_script(letter: str) -> str:
    """A letter or an escape of JSON, "?" where it does not print."""
    return letter if letter in ("\\u003c", "\\\\", '\\"') or (len(letter) == 1 and letter.isprintable()) else "?"


def _printable_json(text: str) -> str:
    return re.sub(r"[^\n -~]", lambda found: found[0] if found[0].isprintable() else _escaped(found[0]), text)


def _escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1]
