"""Charts of characters: what stands where, and that holes are shown and not joined."""

import re

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

import ticklake
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import BadInput
from ticklake.interfaces.cli.chart import Subject, chart
from ticklake.interfaces.cli.main import app
from ticklake.testing.rows import START

HOURS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")


def bars(*prices, start=START, step=HOUR, volume=1.0):
    """Bars of (open, high, low, close); ``None`` leaves one out."""
    rows = [
        {"ts": start + place * step, **dict(zip(("open", "high", "low", "close"), map(float, price), strict=True))}
        for place, price in enumerate(prices)
        if price is not None
    ]
    return pl.DataFrame(rows).with_columns(pl.col("ts").cast(TIME), volume=pl.lit(volume, pl.Float64))


def hole(first, last, reason=GapReason.NOT_FETCHED, step=HOUR):
    return Gap(Span(START + first * step, START + last * step), last - first, reason)


def lines(rows, dataset=HOURS, gaps=(), width=80, height=24):
    return [
        "".join(text for text, _ in line).rstrip() for line in chart(rows, Subject.of(dataset), gaps, width, height)
    ]


def plot(drawn):
    """The columns of the part right of the axis."""
    rows = [parts[1] for line in drawn if len(parts := re.split("[│┤]", line, maxsplit=1)) == 2]
    width = max(map(len, rows))
    return ["".join(column) for column in zip(*(row.ljust(width) for row in rows), strict=True)]


RISE, FALL = (10, 14, 8, 12), (12, 14, 8, 9)


def test_a_small_chart_is_drawn_as_a_whole():
    drawn = lines(bars(RISE, None, FALL, volume=5.0), gaps=[hole(1, 2)], width=40, height=16)
    assert drawn == [
        "binance:ohlcv:1h:BTC/USDT, 2 bars",
        "2024-01-01T00:00:00Z to 2024-01-01T02:00:00Z",
        "   14 ┤│  ░░░│",
        "      ││  ░░░│",
        "   12 ┤┃  ░░░█",
        "      │┃  ░░░█",
        "   10 ┤┃  ░░░█",
        "      ││  ░░░█",
        "    8 ┤│  ░░░│",
        "      │   n",
        "    5 │█     █",
        "      │█     █",
        "      │█     █",
        "      └┴────────",
        "       01-01",
        "░ holes: 1 not_fetched (n)",
    ]


def test_trades_are_drawn_as_the_range_of_their_prices_and_not_joined():
    seconds = [0, 1, 2, 58, 59]
    trades = pl.DataFrame({"ts": [START + second * SECOND for second in seconds]}).with_columns(
        pl.col("ts").cast(TIME), price=pl.Series([1.0, 2.0, 3.0, 2.0, 2.0]), amount=pl.lit(1.0)
    )
    drawn = lines(trades, TRADES, width=25, height=12)
    assert drawn[:2] == ["binance:trades:BTC/USDT, 5 trades", "2024-01-01T00:00:00Z to 2024-01-01T00:00:59Z"]
    columns = plot(drawn)
    assert columns[0].strip() != ""
    assert {column.strip() for column in columns[1:-1]} == {""}
    assert columns[-1].strip() != ""


@pytest.mark.parametrize("count", [1, 2, 39, 40, 41, 300, 5_000])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (200, 60), (10, 3)])
def test_a_chart_fits_its_terminal(count, width, height):
    drawn = lines(
        bars(*[(place % 9 + 1, place % 9 + 3, place % 9 + 0.5, place % 9 + 2) for place in range(count)]),
        gaps=[hole(count // 2, count // 2 + 1, GapReason.LOST)],
        width=width,
        height=height,
    )
    assert max(cell_len(line) for line in drawn[2:-1]) <= max(width, 30)
    assert len(drawn) <= max(height, 16)


def test_of_many_bars_each_column_shows_several():
    drawn = lines(bars(*[(5, 6, 4, 5)] * 500, (5, 60, 1, 50)), width=63)
    assert drawn[0] == "binance:ohlcv:1h:BTC/USDT, 501 bars, 9 in each column"
    assert "│" in plot(drawn)[-1]


def test_a_hole_within_a_column_has_its_letter():
    prices = [(5, 6, 4, 5)] * 500
    drawn = lines(bars(*prices[:255], None, None, *prices[257:]), gaps=[hole(255, 257, GapReason.LOST)], width=60)
    assert drawn[-1] == "░ holes: 1 lost (l)"
    assert [line for line in drawn if line.endswith("l")] != []
    assert "░" not in "".join(drawn[:-1])


@pytest.mark.parametrize("reason", [GapReason.NO_TRADES, GapReason.OUTAGE])
def test_a_quiet_bar_beside_others_in_its_column_has_no_letter(reason):
    prices = [(5, 6, 4, 5)] * 500
    drawn = lines(bars(*prices[:255], None, *prices[256:]), gaps=[hole(255, 256, reason)], width=60)
    assert drawn[-7].strip() == "│"
    assert drawn[-1] == f"░ holes: 1 {reason} ({drawn[-1][-2]})"


@pytest.mark.parametrize("reason", GapReason)
def test_each_reason_of_a_hole_has_a_letter_and_a_colour(reason):
    drawn = chart(bars(RISE, None, RISE), Subject.of(HOURS), [hole(1, 2, reason)], 40, 16)
    assert drawn[-1][1][0] == f"1 {reason} ({'t' if reason == 'no_trades' else reason[0]})"
    shaded = {style for line in drawn[2:-1] for text, style in line if text.startswith("░")}
    assert shaded == {drawn[-1][1][1]}


def test_of_two_reasons_in_a_column_the_one_of_missing_rows_is_shown():
    prices = [(5, 6, 4, 5)] * 500
    gaps = [hole(250, 251, GapReason.NO_TRADES), hole(252, 253, GapReason.LOST)]
    drawn = lines(bars(*prices[:250], None, (5, 6, 4, 5), None, *prices[253:]), gaps=gaps, width=60)
    assert any(line.endswith("l") for line in drawn[:-1])
    assert drawn[-1] == "░ holes: 1 lost (l), 1 no_trades (t)"


def test_nights_and_weekends_take_no_place():
    daily = Dataset.parse("nyse:ohlcv:1d:AAPL")
    friday_and_monday = bars(RISE, FALL, start=parse_time("2024-01-05"), step=3 * DAY)
    columns = plot(lines(friday_and_monday, daily, width=40))
    assert [place for place, column in enumerate(columns) if column.strip()] == [0, 3]


def test_bars_in_a_column_are_those_that_are_due():
    daily = Dataset.parse("nyse:ohlcv:1d:AAPL")
    weeks = [bars(*[RISE] * 5, start=parse_time("2024-01-01") + week * 7 * DAY, step=DAY) for week in range(20)]
    assert lines(pl.concat(weeks), daily, width=31)[0] == "nyse:ohlcv:1d:AAPL, 100 bars, 5 in each column"


def test_bars_of_months_take_one_column_each():
    monthly = Dataset.parse("binance:ohlcv:1M:BTC/USDT")
    rows = pl.concat(bars(RISE, start=parse_time(f"2023-{month:02}-01")) for month in range(1, 13))
    drawn = lines(rows, monthly, gaps=[], width=33)
    assert len(plot(drawn)) == 23
    assert drawn[-1].split() == ["2023-01", "2023-07"]


def test_holes_outside_the_rows_are_left_out():
    assert lines(bars(RISE, RISE), gaps=[hole(-5, -1), hole(2, 9)]) == lines(bars(RISE, RISE))


def test_one_price_is_drawn_in_the_middle():
    drawn = lines(bars((5, 5, 5, 5), volume=None), width=40, height=11)
    assert sum("╻" in line or "╹" in line for line in drawn) == 1
    assert lines(bars((0, 0, 0, 0)))


def test_volumes_that_nobody_knows_are_not_drawn():
    assert len(lines(bars(RISE, volume=None), height=16)) == len(lines(bars(RISE), height=16))
    assert "█" not in "".join(lines(bars(RISE, volume=None)))


def test_little_volume_is_not_none():
    drawn = lines(bars(RISE, RISE).with_columns(volume=pl.Series([1e6, 1e-6])), width=40)
    assert any("▁" in line for line in drawn)


@pytest.mark.parametrize("price", [1e-9, 0.5, 123_456_789.0])
def test_prices_of_any_size_have_labels(price):
    labels = [
        line.split("┤")[0].strip() for line in lines(bars((price, price * 1.2, price, price * 1.1))) if "┤" in line
    ]
    numbers = [float(label.replace(",", "")) for label in labels]
    assert len(numbers) >= 3
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(price <= number <= price * 1.2 for number in numbers)


@pytest.mark.parametrize(
    ("step", "count", "labels"),
    [
        (MINUTE, 120, ["01-01", "00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45"]),
        (HOUR, 70, ["01-01", "12:00", "01-02", "12:00", "01-03", "12:00"]),
        (DAY, 800, ["2024-01", "2024-07", "2025-01", "2025-07", "2026-01"]),
        (DAY, 4_000, ["2024", "2025", "2026"]),
    ],
)
def test_times_below_are_round(step, count, labels):
    name = {MINUTE: "1m", HOUR: "1h", DAY: "1d"}[step]
    drawn = lines(bars(*[RISE] * count, step=step), Dataset.parse(f"binance:ohlcv:{name}:BTC/USDT"), width=79)
    assert drawn[-1].split()[: len(labels)] == labels


def test_no_rows_are_no_chart():
    assert lines(bars(RISE)[:0]) == ["no rows to draw"]


def test_what_is_no_number_is_left_out():
    assert lines(bars(RISE, (1, float("nan"), 1, 1), FALL))[0] == "binance:ohlcv:1h:BTC/USDT, 2 bars"


def test_prices_below_zero_are_drawn():
    labels = [float(line.split("┤")[0]) for line in lines(bars((-40, 10, -41, -37))) if "┤" in line]
    assert min(labels) < -30
    assert max(labels) > 5


def test_an_infinite_price_has_no_place():
    with pytest.raises(BadInput, match="no finite number"):
        lines(bars((1, float("inf"), 1, 1)))


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run commands on a lake with bars, trades and rates of funding."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    path = str(tmp_path / "lake")
    with ticklake.open(path) as lake:
        lake.save(HOURS, bars(*[RISE, FALL] * 20, None, None, *[FALL] * 10))
        times = pl.Series([START + second * SECOND for second in range(0, 600, 7)]).cast(TIME)
        trades = pl.DataFrame({"ts": times, "price": 5.0, "amount": 1.0, "trade_id": range(len(times))})
        lake.save(TRADES, trades.with_columns(pl.col("trade_id").cast(pl.String)))
        lake.save("binance:funding:BTC/USDT:USDT", pl.DataFrame({"ts": times[:1], "rate": [0.01]}))

    def run(*arguments, **environment):
        return CliRunner(env=environment).invoke(app, [*arguments, "--lake", path])

    return run


def test_read_draws_bars_with_their_holes_and_no_colours_in_a_pipe(shell):
    drawn = shell("read", str(HOURS), "--chart").stdout.splitlines()
    assert drawn[0] == "binance:ohlcv:1h:BTC/USDT, 50 bars"
    assert drawn[-1].rstrip() == "░ holes: 1 not_fetched (n)"
    assert len(drawn) == 23
    assert max(map(len, drawn)) <= 80
    assert "\x1b" not in "".join(drawn)


def test_colours_go_with_no_color(shell):
    coloured = shell("read", str(HOURS), "--chart", FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[32m" in coloured
    plain = shell("read", str(HOURS), "--chart", FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").stdout
    assert "\x1b[3" not in plain


def test_read_draws_the_newest_rows(shell):
    assert shell("read", str(HOURS), "--chart", "--last", "3").stdout.startswith("binance:ohlcv:1h:BTC/USDT, 3 bars")


def test_resample_draws_the_bars_that_it_makes(shell):
    drawn = shell("resample", str(TRADES), "--to", "1m", "--chart", "--partial").stdout
    assert drawn.startswith("binance:trades:BTC/USDT in bars of 1m, 10 bars")


def test_resample_draws_bars_without_a_grid(shell):
    drawn = shell("resample", str(TRADES), "--to", "10ticks", "--chart", "--partial").stdout
    assert drawn.startswith("binance:trades:BTC/USDT in bars of 10ticks, 9 bars")
    assert "░ holes: 1 not_fetched (n)" in drawn


def test_a_hole_in_bars_without_a_grid_takes_one_column():
    drawn = plot(lines(bars(RISE, None, None, None, RISE), TRADES, gaps=[hole(1, 4)], width=60))
    assert [place for place, column in enumerate(drawn) if "░" in column] == [3, 4, 5]


@pytest.mark.parametrize("command", [["read"], ["resample", "--to", "1d"]])
@pytest.mark.parametrize("options", [["--json"], ["--format", "csv"], ["--output", "x.csv"], ["--columns", "close"]])
def test_a_chart_is_for_people_alone(shell, command, options):
    done = shell(*command, str(HOURS), "--chart", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: --chart draws for people: leave out {options[0]}, or --chart\n"


def test_what_has_no_price_is_not_drawn(shell):
    done = shell("read", "binance:funding:BTC/USDT:USDT", "--chart")
    assert (done.exit_code, done.stderr) == (2, "error: --chart draws bars and trades, not funding\n")


def test_a_terminal_without_the_characters_is_told_how_to_get_them(shell, monkeypatch):
    runner = CliRunner(charset="ascii")
    done = runner.invoke(app, ["read", str(HOURS), "--chart", "--lake", shell.__closure__[0].cell_contents])
    assert "PYTHONIOENCODING=utf-8" in done.stderr
