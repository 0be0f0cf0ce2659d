"""Tables of results: for the terminal, and for the README."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import OURS, Figure, Result, Verdict

__all__ = ["BEGIN", "END", "curve_table", "markdown_table", "number", "reasons", "replace_block", "text_table"]

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
CANNOT = "-"


def number(value: float) -> str:
    """Write a number with three digits that count.

    >>> number(0.01234), number(12.34), number(1234.5)
    ('0.0123', '12.3', '1,234')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text_table(results: Sequence[Result], contenders: Sequence[str]) -> str:
    """Return a table for the terminal: figures, the ratio to ours in brackets, targets with pass or fail."""
    head = ["workload", "unit", *contenders, "target"]
    rows = [
        [result.title, result.unit, *(_cell(result, name) for name in contenders), _verdicts(result.verdicts())]
        for result in results
    ]
    return _aligned([head, *rows])


def curve_table(results: Sequence[Result], sizes: Sequence[str]) -> str:
    """Return a table of figures by the number of stored rows."""
    rows = [[result.title, result.unit, *(_plain(result.figures.get(size)) for size in sizes)] for result in results]
    return _aligned([["stored rows", "unit", *sizes], *rows])


def markdown_table(results: Sequence[Result], contenders: Sequence[str]) -> str:
    """Return a compact table for the README. Where ours is alone, targets stand in the place of others."""
    shown = [name for name in contenders if any(_median(result, name) is not None for result in results)]
    is_alone = list(contenders) == [OURS]
    columns = [*shown, "target"] if is_alone else shown
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---|" + "---:|" * len(columns)]
    for result in results:
        cells = [_plain(result.figures.get(name)) for name in shown]
        if is_alone:
            cells.append(_verdicts(result.verdicts()))
        lines.append("| " + " | ".join([f"{result.title}, {result.unit}", *cells]) + " |")
    return "\n".join(lines)


def reasons(results: Sequence[Result]) -> list[str]:
    """Return why figures are missing, a line each."""
    return [
        f"{result.title}: {name} {'failed' if figure.failed else 'cannot'}: {figure.reason}"
        for result in results
        for name, figure in result.figures.items()
        if figure.reason
    ]


def replace_block(document: str, block: str) -> str:
    """Return the document with *block* between the two markers.

    Raises
    ------
    ValueError
        If it does not have both markers, once each and in order.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise ValueError(f"the document needs one line {BEGIN} and after it one line {END}")
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _median(result: Result, name: str) -> float | None:
    figure = result.figures.get(name)
    return figure.median if figure else None


def _plain(figure: Figure | None) -> str:
    if figure is None or figure.median is None:
        return "failed" if figure and figure.failed else CANNOT
    return number(figure.median)


def _cell(result: Result, name: str) -> str:
    ratio = result.ratio(name)
    text = _plain(result.figures.get(name))
    return text if name == OURS or ratio is None else f"{text} ({number(ratio)}x)"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    words = {True: "pass", False: "FAIL", None: "not measured"}
    return "; ".join(f"{verdict.text}: {words[verdict.passed]}" for verdict in verdicts)
