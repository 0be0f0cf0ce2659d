import pickle
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.dataset import BAR_KINDS, USUAL_FRAMES, Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.symbol import Symbol
from ticklake.core.time import parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput, InvalidName

HOURS = "binance:ohlcv:1h:BTC/USDT"

exchanges = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
units = st.builds(lambda n, u: f"{n}{u}", st.integers(1, 9999), st.sampled_from("smhdwM"))
printable = st.characters(exclude_categories=("C", "Z"))
nasty = st.text(printable, min_size=1, max_size=15) | st.text(st.sampled_from("./\\:%~ -=A币é"), min_size=1, max_size=8)


def possible(text):
    try:
        return Symbol(text)
    except InvalidName:
        return None


@st.composite
def datasets(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    timeframe = draw(units) if kind in BAR_KINDS else None
    return Dataset.of(draw(exchanges), draw(nasty.filter(possible)), kind, timeframe)


@given(datasets())
def test_its_text_form_is_read_back(dataset):
    assert Dataset.parse(str(dataset)) == dataset


@given(datasets())
def test_its_path_never_leaves_the_root_and_is_as_deep_as_it_says(dataset):
    assert posixpath.normpath(dataset.path) == dataset.path
    parts = dataset.path.split("/")
    names = [part.partition("=")[0] for part in parts]
    assert names == [dataset.kind, "exchange", "symbol", *(["timeframe"] if dataset.timeframe else [])]
    assert dataset.path.isascii()
    assert "\\" not in dataset.path


@given(datasets(), datasets())
def test_two_datasets_never_share_a_path(one, other):
    assert (one.path == other.path) == (one == other)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("binance:ohlcv:1h:BTC/USDT", "ohlcv/exchange=binance/symbol=BTC%2FUSDT/timeframe=1h"),
        ("binance:trades:BTC/USDT:USDT", "trades/exchange=binance/symbol=BTC%2FUSDT%3AUSDT"),
        ("okx:mark_ohlcv:1M:BTC/USD:BTC-241227", "mark_ohlcv/exchange=okx/symbol=BTC%2FUSD%3ABTC-241227/timeframe=1M"),
        ("binance:book:币安人生/USDT", "book/exchange=binance/symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9F%2FUSDT"),
    ],
)
def test_its_path_is_hive_style_and_percent_escaped(text, path):
    dataset = Dataset.parse(text)
    assert dataset.path == path
    assert str(dataset) == text


def test_the_parts_of_its_text_are_where_they_should_be():
    dataset = Dataset.parse("binance:ohlcv:1h:BTC/USDT:USDT")
    assert dataset == Dataset("binance", "ohlcv", Symbol("BTC/USDT:USDT"), Timeframe(1, "h"))


def test_a_dataset_is_taken_as_it_is():
    dataset = Dataset.of("binance", "BTC/USDT", "trades")
    assert Dataset.parse(dataset) is dataset


@pytest.mark.parametrize(
    "text",
    [
        "",
        "binance",
        "binance:trades",
        "binance:trades:",
        "binance:ohlcv:1h",
        "binance:ohlcv:1h:",
        ":trades:BTC/USDT",
        "../x:trades:BTC/USDT",
        "binance:candles:BTC/USDT",
        "binance:../..:BTC/USDT",
        "binance:trades:../../etc/passwd",
    ],
)
def test_what_is_no_dataset_is_refused(text):
    with pytest.raises(InvalidName):
        Dataset.parse(text)


def test_a_bad_timeframe_is_bad_input():
    with pytest.raises(BadInput, match="BTC/USDT"):
        Dataset.parse("binance:ohlcv:BTC/USDT")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - USUAL_FRAMES.keys() - {"bars"}))
def test_bar_kinds_need_a_timeframe_and_others_have_none(kind):
    wrong = None if kind in BAR_KINDS else "1h"
    with pytest.raises(InvalidName, match="timeframe"):
        Dataset.of("binance", "BTC/USDT", kind, wrong)


def test_the_bar_kinds_are_those_of_the_table_of_kinds():
    assert {name for name, kind in KINDS.items() if kind.bars} == BAR_KINDS


def test_its_spec_is_the_row_of_its_kind():
    assert Dataset.of("binance", "BTC/USDT", "trades").spec is KINDS["trades"]


@pytest.mark.parametrize(
    ("exchange", "timeframe", "opens"),
    [
        ("okx", "1w", "2024-01-01"),
        ("binance", "1w", "2024-01-01"),
        ("kraken", "1w", "2023-12-28"),
        ("bitfinex", "1w", "2023-12-28"),
        ("okx", "3d", "2023-12-31"),
        ("binance", "3d", "2024-01-01"),
        ("kraken", "1d", "2024-01-01"),
    ],
)
def test_bars_open_where_the_exchange_opens_them(exchange, timeframe, opens):
    """Field note: weeks start on Monday or Thursday."""
    dataset = Dataset.of(exchange, "BTC/USDT", "ohlcv", timeframe)
    assert dataset.timeframe.floor(parse_time("2024-01-01T12:00"), dataset.anchor) == parse_time(opens)


def test_open_interest_may_have_a_timeframe():
    hourly = Dataset.parse("bybit:open_interest:1h:BTC/USDT:USDT")

    assert (str(hourly.timeframe), str(hourly)) == ("1h", "bybit:open_interest:1h:BTC/USDT:USDT")
    assert hourly.path.endswith("/timeframe=1h")


def test_open_interest_of_five_minutes_is_the_usual_one():
    usual = Dataset.parse("bybit:open_interest:BTC/USDT:USDT")

    assert usual.timeframe is None
    assert Dataset.parse("bybit:open_interest:5m:BTC/USDT:USDT") == usual
    assert Dataset.of("bybit", "BTC/USDT:USDT", "open_interest", "5m") == usual


def test_a_dataset_made_of_texts_is_the_one_that_is_parsed():
    made, parsed = Dataset("a", "ohlcv", "B/C", "1h"), Dataset.parse("a:ohlcv:1h:B/C")
    assert (made, hash(made), str(made), made.path) == (parsed, hash(parsed), str(parsed), parsed.path)
    assert made.symbol.base == "B"
    assert Dataset("a", "ohlcv", "B/C", "60m") == parsed == Dataset.parse("a:ohlcv:60m:B/C")


@pytest.mark.parametrize(
    "parts",
    [
        ("a", "ohlcv", 5, "1h"),
        ("a", "ohlcv", "B/C", 60),
        ("a", "ohlcv", None, "1h"),
        (None, "trades", "B/C"),
        ("a", "ohlcv", "B/C", "x"),
        ("a", 5, "B/C"),
    ],
)
def test_a_dataset_of_other_things_is_refused(parts):
    with pytest.raises(BadInput):
        Dataset(*parts)


def test_an_exchange_is_named_in_any_case():
    assert (
        Dataset.parse("BINANCE:trades:BTC/USDT")
        == Dataset("Binance", "trades", "BTC/USDT")
        == Dataset.parse("binance:trades:BTC/USDT")
    )
    assert str(Dataset.parse("BINANCE:trades:BTC/USDT")) == "binance:trades:BTC/USDT"
    with pytest.raises(InvalidName):
        Dataset.parse("BİNANCE:trades:BTC/USDT")


def test_a_dataset_of_another_process_is_the_same_key():
    import pickle
    import subprocess
    import sys

    code = (
        "import pickle, sys; from ticklake import Dataset; dataset = Dataset.parse('x:ohlcv:1h:BTC/USDT'); hash(dataset);"
        "sys.stdout.buffer.write(pickle.dumps(dataset))"
    )
    written = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert pickle.loads(written) in {Dataset.parse("x:ohlcv:1h:BTC/USDT")}


DERIVED = "binance:ohlcv@from_trades:1h:BTC/USDT"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (DERIVED, "derived/ohlcv/variant=from_trades/exchange=binance/symbol=BTC%2FUSDT/timeframe=1h"),
        (
            "okx:momentum@v3:1h:BTC/USDT:USDT",
            "derived/momentum/variant=v3/exchange=okx/symbol=BTC%2FUSDT%3AUSDT/timeframe=1h",
        ),
        ("okx:momentum@v3:BTC/USDT", "derived/momentum/variant=v3/exchange=okx/symbol=BTC%2FUSDT"),
        ("okx:trades@clean:1h/USDT", "derived/trades/variant=clean/exchange=okx/symbol=1h%2FUSDT"),
    ],
)
def test_a_variant_is_part_of_the_name_and_of_the_path(text, path):
    dataset = Dataset.parse(text)
    assert (str(dataset), dataset.path) == (text, path)
    assert dataset == Dataset.of(
        dataset.exchange, str(dataset.symbol), dataset.kind, dataset.timeframe_text, dataset.variant
    )
    assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_made_bars_may_have_a_timeframe():
    assert Dataset.parse("x:bars@flow:BTC/USDT").timeframe is None
    assert str(Dataset.parse("x:bars@days:1d:BTC/USDT").timeframe) == "1d"
    # They say themselves when they close, which need not be on the grid.
    assert Dataset.parse("x:bars@days:1d:BTC/USDT").row_end(5) == 6


def test_a_variant_is_another_dataset():
    plain, derived, other = map(Dataset.parse, (HOURS, DERIVED, DERIVED.replace("from_trades", "other")))
    assert len({plain, derived, other}) == 3
    assert (derived.kind, derived.variant, derived.kind_text, derived.spec) == (
        "ohlcv",
        "from_trades",
        "ohlcv@from_trades",
        plain.spec,
    )
    assert Dataset.of("binance", "BTC/USDT", "ohlcv@from_trades", "1h") == derived


def test_patterns_tell_variants_from_collected_datasets():
    assert Dataset.parse(DERIVED).matches("binance:ohlcv@*:*")
    assert not Dataset.parse(HOURS).matches("binance:ohlcv@*:*")
    assert not Dataset.parse(DERIVED).matches("binance:ohlcv:*")


@pytest.mark.parametrize("variant", ["", "From", "1st", "a-b", "a b", "a/b", "..", "a@b", "a" * 65, "é"])
def test_a_variant_is_a_plain_name(variant):
    with pytest.raises(InvalidName, match=r"variant|not a dataset"):
        Dataset.parse(f"binance:ohlcv@{variant}:1h:BTC/USDT")


def test_only_derived_datasets_have_kinds_that_a_lake_declares():
    with pytest.raises(InvalidName, match="not a kind"):
        Dataset.parse("binance:momentum:BTC/USDT")
    with pytest.raises(InvalidName, match="cannot name a kind"):
        Dataset.parse("binance:../x@v1:BTC/USDT")


def test_no_symbol_can_be_read_as_a_timeframe_and_another_symbol():
    with pytest.raises(InvalidName, match="begins like a timeframe"):
        Dataset.of("binance", "1h:BTC/USDT", "momentum", variant="v1")
    with pytest.raises(InvalidName, match="begins like a timeframe"):
        Dataset.of("binance", "1h:BTC/USDT", "open_interest")
