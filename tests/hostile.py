"""Names that a model file may hold, each an attack on some format that quotes it."""

from __future__ import annotations

HOSTILE = {
    "formula": '=cmd|"/c calc"!A1',
    "sum": "@SUM(1+1)*cmd",
    "minus": " -1+2",
    "python": 'a\nimport os;os.system("touch PWNED")\n#',
    "docstring": '"""\nimport os\n"""',
    "list": '"];import os;["',
    "backslash": "\\",
    "quotes": "'\"`",
    "c": "*/ #error\n/* ??/\n",
    "title": "\x1b]0;owned\x07\x1b[31mred",
    "csi": "\x9b2J\x9bH",
    "bidi": "\u202egnp.exe\u2066",
    "script": "</script><script>alert(1)</script>",
    "attribute": "\" onmouseover='alert(1)' x=\"<img src=x>",
    "entity": "]]>&amp;&#60;!--",
    "workflow": "::error::%0A\r\n::set-env name=A,file=b::c",
    "markdown": "| ![x](http://e.com) @all #1 `</code>` **b** ~~c~~ $d$ www.e.com |",
    "html label": '<b>"\\n\\N"];}',
    "placeholder": "{0} [a](1) %s ${title} {{x}}",
    "long": "q" * 4000,
    "foreign": "é中\u0301\u200d\U0001f9ea\U000e0041",
    "rich": "[red]x[/red] [link=http://e.com]y[/link] :bomb:",
}
