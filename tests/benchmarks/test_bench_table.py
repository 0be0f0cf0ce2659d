"""The pure parts of the benchmarks: ratios, targets, tables, and the block in the README. Nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks import data
from benchmarks.figures import Figure, Result, Target
from benchmarks.table import BEGIN, END, curve_table, markdown_table, number, reasons, replace_block, text_table
from benchmarks.workload import FULL, QUICK
from benchmarks.workloads import workloads

RESULT = Result(
    "append",
    "append 100 rows",
    "ms",
    {
        "ticklake": Figure((3.0, 1.0, 2.0)),
        "arcticdb": Figure((4.0,)),
        "dccd": Figure((600.0,)),
        "delta": Figure(reason="no update in place"),
        "duckdb": Figure(reason="OSError: disk full", failed=True),
    },
    (Target(0.7, "arcticdb"), Target(1 / 150, "dccd"), Target(1.5), Target(2, "nautilus")),
)
NAMES = ["ticklake", "arcticdb", "dccd", "delta", "duckdb"]


def test_the_median_is_what_counts():
    assert RESULT.figures["ticklake"].median == 2.0
    assert Figure((1.0, 2.0)).median == 1.5
    assert Figure().median is None


def test_a_ratio_says_how_many_times_ours_the_other_takes():
    assert RESULT.ratio("arcticdb") == 2.0
    assert RESULT.ratio("delta") is None
    assert RESULT.ratio("nobody") is None
    assert Result("x", "x", "ms", {"arcticdb": Figure((4.0,))}).ratio("arcticdb") is None


def test_a_target_is_a_multiple_of_a_peer_or_a_fixed_limit():
    near, far, fixed, unknown = RESULT.verdicts()
    assert (near.text, near.passed) == ("<= 0.7x arcticdb", True)
    assert near.allowed == pytest.approx(2.8)
    assert (far.text, far.passed) == (">= 150x faster than dccd", True)
    assert (fixed.text, fixed.passed) == ("<= 1.5 ms", False)
    assert (unknown.text, unknown.allowed, unknown.passed) == ("<= 2x nautilus", None, None)


def test_a_target_is_undecided_without_our_own_figure():
    result = Result("x", "x", "ms", {"ticklake": Figure(reason="not yet")}, (Target(1),))
    assert [verdict.passed for verdict in result.verdicts()] == [None]


def test_the_table_shows_figures_ratios_and_verdicts():
    head, line, row = text_table([RESULT], NAMES).split("\n")
    assert head.split() == ["workload", "unit", *NAMES, "target"]
    assert set(line) == {"-", " "}
    assert "append 100 rows  ms    2         4 (2x)    600 (300x)  -      failed" in row
    assert row.endswith(
        "<= 0.7x arcticdb: pass; >= 150x faster than dccd: pass; <= 1.5 ms: FAIL; <= 2x nautilus: not measured"
    )


def test_reasons_tell_what_cannot_be_done_from_what_broke():
    assert reasons([RESULT]) == [
        "append 100 rows: delta cannot: no update in place",
        "append 100 rows: duckdb failed: OSError: disk full",
    ]


def test_the_compact_table_leaves_out_who_measured_nothing():
    assert markdown_table([RESULT], NAMES).split("\n") == [
        "|  | ticklake | arcticdb | dccd |",
        "|---|---:|---:|---:|",
        "| append 100 rows, ms | 2 | 4 | 600 |",
    ]


def test_a_curve_has_a_column_a_size():
    curve = Result("append", "ticklake: append", "ms", {"100": Figure((1.0,)), "1,000": Figure((1.25,))})
    assert curve_table([curve], ["100", "1,000"]).split("\n")[2].split() == ["ticklake:", "append", "ms", "1", "1.25"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001234, "0.00123"), (0.5, "0.5"), (12.345, "12.3"), (99.96, "100"), (123.4, "123"), (45_678.9, "45,679")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str):
    assert number(value) == text


def test_the_block_in_a_document_is_replaced_and_the_rest_is_not():
    document = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    assert replace_block(document, "new") == f"before\n\n{BEGIN}\nnew\n{END}\n\nafter\n"
    assert replace_block(replace_block(document, "x"), "x") == replace_block(document, "x")


@pytest.mark.parametrize("document", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"])
def test_a_document_without_both_markers_is_refused(document: str):
    with pytest.raises(ValueError, match="bench:begin"):
        replace_block(document, "new")


def test_a_target_may_be_a_least_figure():
    figures = {"ticklake": Figure((120_000.0,))}
    enough, more = Result("x", "x", "rows/s", figures, tuple(Target(n, at_least=True) for n in (1e5, 2e5))).verdicts()
    assert (enough.text, enough.passed) == (">= 100,000 rows/s", True)
    assert (more.text, more.passed) == (">= 200,000 rows/s", False)


def test_the_compact_table_of_ours_alone_has_the_targets():
    alone = Result("x", "x", "ms", {"ticklake": Figure((2.0,))}, (Target(1), Target(3)))
    assert markdown_table([alone], ["ticklake"]).split("\n") == [
        "|  | ticklake | target |",
        "|---|---:|---:|",
        "| x, ms | 2 | <= 1 ms: FAIL; <= 3 ms: pass |",
    ]


def test_most_workloads_have_a_target_and_each_its_own_name():
    table = workloads(FULL)
    assert len({workload.name for workload in table}) == len(table)
    assert [workload.name for workload in table if not workload.targets] == [
        "open",
        "frame-of-many",
        "frame-live-trades",
        "frame-collecting",
        "asof-stored",
        "markout",
        "panel",
        "iterate-objects",
        "features-join",
        "live-cpu",
        "live-cache-p50",
        "live-cache-p99",
        "live-commit-p50",
        "live-commit-p99",
        "live-native",
        "live-ccxt",
        "http-p50",
        "remote",
        "remote-arrow",
    ]
    assert [workload.name for workload in table if "|" in workload.title] == []
    assert [workload.name for workload in workloads(QUICK)] == [workload.name for workload in table]


def test_fixed_limits_shrink_with_what_is_measured():
    full, quick = ({w.name: w.targets[0].limit for w in workloads(s) if w.targets} for s in (FULL, QUICK))
    assert (full["inventory"], full["append-group"]) == (100, 150)
    assert quick["inventory"] == 100 * QUICK.datasets / FULL.datasets


def test_the_data_is_the_same_every_time():
    assert data.bars(100).equals(data.bars(100))
    assert data.trades(100).equals(data.trades(100))


def test_bars_are_possible_bars_and_trades_have_their_own_ids_in_order():
    bars, trades = data.bars(5_000), data.trades(5_000)
    assert (bars["high"] >= bars.select("open", "close").max_horizontal()).all()
    assert (bars["low"] <= bars.select("open", "close").min_horizontal()).all()
    assert bars["low"].min() > 0
    assert trades["ts"].is_sorted()
    assert trades["id"].n_unique() == trades.height
    assert trades["amount"].min() > 0


def test_batches_cover_everything_and_repeat_what_they_are_told_to():
    frame = data.trades(1_000)
    plain, again = data.batches(frame, 10), data.batches(frame, 10, overlap=0.1)
    assert [part.height for part in plain] == [100] * 10
    assert [part.height for part in again] == [100] + [110] * 9
    assert again[1]["id"][:10].to_list() == plain[0]["id"][-10:].to_list()
