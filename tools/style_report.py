"""Measure how dense the source is: ``python tools/style_report.py [--check]``.

With ``--check`` it fails if a measure is worse than its bound below. Bounds are what the source has reached: tighten them when it
gets better, and say why in the commit if one must be loosened.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "ticklake"
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Counts:
    """What was counted in all modules."""

    modules: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    code_lines: int = 0
    characters: int = 0
    comments: int = 0
    ternaries: int = 0
    nested_ternaries: int = 0
    comprehensions: int = 0
    deep_comprehensions: int = 0


def count(paths: list[Path]) -> Counts:
    """Count the modules in *paths*."""
    counts = Counts()
    for path in paths:
        text = path.read_text()
        counts.modules.append(text.count("\n"))
        _count_lines(text, counts)
        _count_nodes(text, counts)
    return counts


def _count_lines(text: str, counts: Counts) -> None:
    """Count lines that hold code, docstrings left out, and comments on lines of their own or beside code."""
    lines = text.splitlines()
    documented = _docstring_lines(ast.parse(text))
    with_code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            counts.comments += 1
        elif token.type not in _LAYOUT:
            with_code.update(range(token.start[0], token.end[0] + 1))
    with_code -= documented
    counts.code_lines += len(with_code)
    counts.characters += sum(len(lines[number - 1].strip()) for number in with_code)


_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}


def _docstring_lines(tree: ast.Module) -> set[int]:
    """Return the lines of strings that stand alone: docstrings of modules, classes, functions and attributes."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def _count_nodes(text: str, counts: Counts) -> None:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.IfExp):
            counts.ternaries += 1
            counts.nested_ternaries += isinstance(node.body, ast.IfExp) or isinstance(node.orelse, ast.IfExp)
        elif isinstance(node, _COMPREHENSIONS):
            counts.comprehensions += 1
            has_condition = any(loop.ifs for loop in node.generators)
            counts.deep_comprehensions += len(node.generators) > 1 and has_condition
        elif isinstance(node, _FUNCTIONS):
            counts.functions.append(_length(node, lines))


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Return the lines of a function's body without its docstring and without comments: to explain code must not count against it."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    if not body:
        return 0
    inside = lines[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(not line.lstrip().startswith("#") for line in inside)


def measures(counts: Counts) -> dict[str, float]:
    """Return the measures by name."""
    per_hundred = 100 / counts.code_lines
    return {
        "lines of source": sum(counts.modules),
        "lines of code": counts.code_lines,
        "comments per 100 lines": counts.comments * per_hundred,
        "ternaries per 100 lines": counts.ternaries * per_hundred,
        "nested ternaries": counts.nested_ternaries,
        "comprehensions per 100 lines": counts.comprehensions * per_hundred,
        "comprehensions with two loops and a condition": counts.deep_comprehensions,
        "characters per line": counts.characters / counts.code_lines,
        "function length, median": statistics.median(counts.functions),
        "function length, nine in ten": statistics.quantiles(counts.functions, n=10)[-1],
        "function length, longest": max(counts.functions),
        "module length, median": statistics.median(counts.modules),
        "module length, longest": max(counts.modules),
        "modules under 60 lines": sum(length < 60 for length in counts.modules),
    }


BOUNDS: dict[str, tuple[float, float]] = {
    "comments per 100 lines": (2.3, 10),
    "ternaries per 100 lines": (0, 0.25),
    "nested ternaries": (0, 0),
    "comprehensions per 100 lines": (0, 2.0),
    "comprehensions with two loops and a condition": (0, 0),
    "characters per line": (0, 39),
    "function length, nine in ten": (0, 14),
    "function length, longest": (0, 38),
    "module length, longest": (0, 550),
}
"""The least and the most that a measure may be."""


def main() -> int:
    """Print the measures; with ``--check`` return 1 if one is out of bounds."""
    paths = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
    is_checking = "--check" in sys.argv[1:]
    worse = 0
    for name, value in measures(count(paths)).items():
        least, most = BOUNDS.get(name, (0.0, float("inf")))
        is_worse = not least <= value <= most
        worse += is_worse
        if is_worse or not is_checking:
            bound = f"  bound {least:g} to {most:g}" if name in BOUNDS else ""
            print(f"{name:46} {value:10,.1f}{bound}{'  WORSE' if is_worse else ''}")
    return 1 if is_checking and worse else 0


if __name__ == "__main__":
    sys.exit(main())
