"""Exchanges' own names of markets, and which unified symbols they can mean.

What the exchange itself lists or listed decides. Names that it never listed, or whose list is not known, follow the conventions of the
exchange; names without separators are split by the currencies in which it prices. A name that still has several readings is
refused: nobody could tell later.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ticklake.core.native_id_tables import (
    ALL_QUOTES,
    CODES,
    HOME_MARKET,
    INVERSE_USD,
    KNOWN_ASSETS,
    KNOWN_IDS,
    LINEAR_USD,
    ONLY_MARKET,
    PART_OF_BINANCE,
    QUOTES,
    Market,
)
from ticklake.errors import InvalidName

__all__ = ["NOT_LISTED", "Market", "MarketList", "contract_market", "readings", "unified"]

_DOLLARS = "USD"
_QUOTE_FIRST = frozenset({"bittrex", "poloniex", "upbit"})
"""Exchanges that wrote, or write, ``BTC-ETH`` for ETH priced in BTC: the higher ranking quote currency is the quote."""
_OPTION = re.compile(r"[A-Z0-9_]+(?:-[A-Z]+)?-(?:\d{6,8}|\d{1,2}[A-Z]{3}\d\d)-[\dD.]+-[CP](?:-[A-Z]+)?", re.IGNORECASE)
_DAY = re.compile(r"\d{1,2}[A-Za-z]{3}\d\d")
_FUNDING = re.compile(r"f[A-Z0-9]{3,}")
"""What Bitfinex calls a currency that is lent."""
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_MONTH_CODES = dict(zip("FGHJKMNQUVXZ", range(1, 13), strict=True))
_FRIDAY = 4
_LISTED, _PRICES_IN, _KNOWN, _UNLIKELY = 8, 1, 1, -1
"""What speaks for a reading, and what against it."""


@dataclass(frozen=True, slots=True)
class MarketList:
    """The markets that an exchange lists or ever listed: their symbols, also by native id."""

    by_id: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, markets: Iterable[tuple[str, str]]) -> MarketList:
        """Make a list of pairs of native id and symbol."""
        by_id: dict[str, tuple[str, ...]] = {}
        pairs: set[str] = set()
        for native, symbol in markets:
            pairs.add(_pair_of(symbol))
            if native:
                known = by_id.get(native.upper(), ())
                by_id[native.upper()] = known if symbol in known else (*known, symbol)
        return cls(by_id, frozenset(pairs))

    def named(self, native: str, market: Market | None) -> tuple[str, ...]:
        """Return the symbols that had a native id, those of *market* if there are any."""
        found = self.by_id.get(native.upper(), ())
        fitting = tuple(symbol for symbol in found if market in (None, _market_of(symbol)))
        return fitting or found


NOT_LISTED = MarketList()
"""The list of an exchange of which no list is known."""


def unified(
    native: str, market: Market | None = None, exchange: str = "", listed: MarketList = NOT_LISTED, said: str = ""
) -> str | None:
    """Return the unified symbol of a market's native name, or ``None`` if no rule reads it.

    *said* is the symbol that the caller says files are of: it decides between readings, and where no *market* is told, what a
    contract is settled in.

    >>> unified("XXBTZUSD", exchange="kraken"), unified("NEARUSDT", "linear"), unified("BTCUSD_211231")
    ('BTC/USD', 'NEAR/USDT:USDT', 'BTC/USD:BTC-211231')

    Raises
    ------
    InvalidName
        If the name has several readings, or is an option's.
    """
    found = readings(native, market, exchange, listed)
    _refuse_another_part(native, found, exchange)
    if said in found or (market is None and _pair_of(said) in {_pair_of(symbol) for symbol in found}):
        return said
    if len(found) > 1:
        where = f" on {exchange}" if exchange else ""
        raise InvalidName(
            f"{native!r} may be {' or '.join(found)}{where}: say which with symbol={found[0]!r} (--symbol {found[0]})"
        )
    if not found and _OPTION.fullmatch(native):
        raise InvalidName(f"{native!r} is an option, whose symbol is not told from names: name the dataset (--dataset)")
    return found[0] if found else None


def _refuse_another_part(native: str, found: Iterable[str], exchange: str) -> None:
    """Refuse a contract of another part of the exchange: ``ETHUSDT_210924`` is none of Binance's contracts on coins."""
    only = ONLY_MARKET.get(exchange)
    others = [symbol for symbol in found if only not in (None, _market_of(symbol))]
    if others:
        raise InvalidName(
            f"{native!r} is {others[0]}, which {exchange} does not trade: say --exchange "
            f"{PART_OF_BINANCE[_market_of(others[0])]}"
        )


def readings(
    native: str, market: Market | None = None, exchange: str = "", listed: MarketList = NOT_LISTED
) -> tuple[str, ...]:
    """Return every symbol that a native name can mean, the likeliest alone if it stands out; see :func:`unified`."""
    found = listed.named(native, market)
    if found:
        return found
    text = native.upper()
    known = KNOWN_IDS.get(exchange, {}).get(text)
    if known is not None:
        return (known,)
    if _OPTION.fullmatch(text) or _names_no_market(native, exchange):
        return ()
    for read in (_contract, _legacy, _parted):
        read_so = read(native, market, exchange)
        if read_so:
            return read_so
    return _split(text, market or HOME_MARKET.get(exchange), exchange, listed)


def _names_no_market(native: str, exchange: str) -> bool:
    """Whether a name is of something else: a day or an index in the place of a currency, a currency that is lent."""
    parts = re.split(r"[-_/:]", native)
    is_dated = len(parts) > 2 and any(_DAY.fullmatch(part) for part in parts[1:-1])
    is_index = exchange == "deribit" and len(parts) == 2 and parts[1].upper() == "DVOL"
    is_funding = exchange == "bitfinex" and _FUNDING.fullmatch(native) is not None
    return is_dated or is_index or is_funding


def contract_market(native: str, exchange: str) -> Market | None:
    """Return in what a contract with a joined name like ``BTCUSD`` is settled; ``None`` for names that say it themselves."""
    if not native.isalnum():
        return None
    is_inverse = native.upper().endswith(_DOLLARS) and exchange in INVERSE_USD
    return "inverse" if is_inverse else "linear"


def _contract(native: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read a contract, whose name says that it is one."""
    for exchanges, pattern, build in _CONTRACTS:
        match = pattern.fullmatch(native) if not exchanges or exchange in exchanges else None
        if match is not None:
            return build(match, market, exchange)
    return ()


def _binance_like(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTCUSD_PERP``, ``ETHUSDT_210924``, ``BTC-USD-SWAP``, ``BTC_USDT_20240329``; Binance alone joins the pair."""
    pair, day = match["pair"], match["day"]
    exchange = exchange or _writer_of(match)
    pairs = _pairs(pair, "inverse" if pair.upper().endswith(_DOLLARS) else "linear", exchange)
    contracts = (_with_settle(base, quote, market, exchange) for base, quote in pairs)
    expiry = f"-{day[-6:]}" if day else ""
    return tuple(f"{symbol}{expiry}" for symbols in contracts for symbol in symbols)


def _writer_of(match: re.Match[str]) -> str:
    """Return an exchange that writes contracts so: ``BTCUSD_PERP`` Binance, ``BTC-USD-SWAP`` OKX, ``BTC-USD-PERP`` those on dollars."""
    if match["pair"].isalnum():
        return "binance"
    return "ftx" if match[0].upper().endswith("PERP") else "okx"


def _by_day(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTC-29MAR24`` and ``SOL_USDC-5JUL24``; of a bare base Deribit's is inverse, Bybit's is in USDC."""
    month = _MONTHS.get(match["month"].upper())
    if month is None:
        return ()
    expiry = f"-{match['year']}{month:02d}{int(match['day']):02d}"
    return tuple(f"{symbol}{expiry}" for symbol in _of_base_or_pair(match["pair"], market, exchange))


def _perpetual(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTC-PERPETUAL``, ``SOL_USDC-PERPETUAL``, ``BTCPERP``."""
    return _of_base_or_pair(match["pair"], market, exchange)


def _of_base_or_pair(text: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    base, mark, quote = text.partition("_")
    if mark:
        return _with_settle(_plain(base, exchange), _plain(quote, exchange), market, exchange)
    if exchange == "bybit" and not any(text.endswith(quote) for quote in ("USDT", "USDC", _DOLLARS)):
        return (f"{_plain(text, exchange)}/USDC:USDC",)
    if exchange == "bybit":
        return tuple(
            symbol
            for base, quote in _pairs(text, "linear", exchange)
            for symbol in _with_settle(base, quote, market, exchange)
        )
    return (f"{_plain(text, exchange)}/USD:{_plain(text, exchange)}",)


def _by_month_code(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``XBTH24`` and ``BTCUSDZ24``: inverse, and over on the last Friday of the month."""
    base, year, month = _plain(match["base"], exchange), 2000 + int(match["year"]), _MONTH_CODES[match["month"]]
    last = dt.date(year, month, calendar.monthrange(year, month)[1])
    expiry = last - dt.timedelta(days=(last.weekday() - _FRIDAY) % 7)
    return (f"{base}/USD:{base}-{expiry:%y%m%d}",)


def _kraken_futures(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``PI_XBTUSD`` (inverse) and ``PF_XBTUSD`` (linear), and ``FI_`` and ``FF_`` with a day."""
    told: Market = "inverse" if match["sort"][1] == "I" else "linear"
    expiry = f"-{match['day']}" if match["day"] else ""
    return tuple(
        f"{_joined(base, quote, told)}{expiry}" for base, quote in _pairs(match["pair"], told, "krakenfutures")
    )


def _suffixed(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read Bitget's first names, ``BTCUSDT_UMCBL``, and Phemex' spot names, ``sBTCUSDT``."""
    told: Market = {"UMCBL": "linear", "CMCBL": "linear", "DMCBL": "inverse"}.get(match["sort"], "spot")  # type: ignore[assignment]
    if match["sort"] == "CMCBL":
        return (f"{match['pair'].removesuffix('PERP')}/USDC:USDC",)
    return tuple(_joined(base, quote, told) for base, quote in _pairs(match["pair"], told, exchange))


def _kucoin(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``XBTUSDTM``, and ``XBTUSDM``, which is inverse."""
    return tuple(
        symbol
        for base, quote in _pairs(match["pair"], "linear", exchange)
        for symbol in _with_settle(base, quote, None, "kucoinfutures")
    )


def _bitmex(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``ADAUSD`` and ``XBTUSDT``: contracts on dollars are settled in bitcoin, others in their quote currency."""
    base, quote = _plain(match["base"], exchange), match["quote"]
    return (f"{base}/{quote}:{'BTC' if quote == _DOLLARS else quote}",)


def _bitfinex(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``tBTCUSD``, ``tDUSK:USD``, and ``tBTCF0:USTF0``, which is a perpetual contract."""
    pair = match["pair"]
    base, mark, quote = pair.partition(":")
    if not mark:
        return tuple(f"{base}/{quote}" for base, quote in _pairs(pair, "spot", "bitfinex"))
    if base.endswith("F0") and quote.endswith("F0"):
        return (_joined(_plain(base[:-2], "bitfinex"), _plain(quote[:-2], "bitfinex"), "linear"),)
    return (_joined(_plain(base, "bitfinex"), _plain(quote, "bitfinex"), "spot"),)


_Build = Callable[[re.Match[str], "Market | None", str], tuple[str, ...]]
_ANY: frozenset[str] = frozenset()
_PAIR = r"(?P<pair>[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+)?)"
_CONTRACTS: tuple[tuple[frozenset[str], re.Pattern[str], _Build], ...] = (
    (frozenset({"coinbase", "coinbaseinternational"}), re.compile(r"(?P<pair>[A-Z0-9]+)-PERP(?:-INTX)?"), lambda match, _market, _exchange: (f"{match['pair']}/USDC:USDC",)),
    (_ANY, re.compile(r"(?P<sort>P[IFV]|F[IFV])_(?P<pair>[A-Z0-9]+?)(?:_(?P<day>\d{6}))?"), _kraken_futures),
    (_ANY, re.compile(rf"{_PAIR}[-_](?:(?P<day>\d{{8}}|\d{{6}})|PERP|SWAP)", re.IGNORECASE), _binance_like),
    (_ANY, re.compile(r"(?P<pair>[A-Z0-9]+(?:_[A-Z0-9]+)?)-(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d\d)"), _by_day),
    (_ANY, re.compile(r"(?P<pair>[A-Z0-9]+(?:_[A-Z0-9]+)?)-PERPETUAL"), _perpetual),
    (frozenset({"bybit"}), re.compile(r"(?P<pair>[A-Z0-9]+)PERP"), _perpetual),
    (frozenset({"bybit"}), re.compile(r"(?P<base>[A-Z0-9]+)USD(?P<month>[FGHJKMNQUVXZ])(?P<year>\d\d)"), _by_month_code),
    (frozenset({"bitmex"}), re.compile(r"(?P<base>XBT)(?P<month>[FGHJKMNQUVXZ])(?P<year>\d\d)"), _by_month_code),
    (frozenset({"bitmex"}), re.compile(r"(?P<base>[A-Z0-9]+)(?P<quote>USDT|USDC|USD)"), _bitmex),
    (frozenset({"kucoin", "kucoinfutures"}), re.compile(r"(?P<pair>[A-Z0-9]+US(?:DT|DC|D))M"), _kucoin),
    (_ANY, re.compile(r"(?P<pair>[A-Z0-9]+)_(?P<sort>UMCBL|DMCBL|CMCBL|SPBL)"), _suffixed),
    (frozenset({"phemex"}), re.compile(r"(?P<sort>s)(?P<pair>[A-Z0-9]+)"), _suffixed),
    (frozenset({"", "bitfinex"}), re.compile(r"t(?P<pair>[A-Z0-9]+(?::[A-Z0-9]+)?)"), _bitfinex),
)  # fmt: skip
"""What the names of contracts look like: on which exchanges (on any, if none is named), and how they are read."""
_PARTED = re.compile(r"([A-Za-z0-9]+)[-_/]([A-Za-z0-9]+)(?:[-_:/]([A-Za-z0-9]+))?")


def _legacy(native: str, _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read Kraken's old names of two codes with four letters each: ``XETHZUSD``."""
    base, quote = native[:4].upper(), native[4:].upper()
    codes = CODES["kraken"]
    if exchange not in {"", "kraken"} or base not in codes or quote not in codes:
        return ()
    return (f"{codes[base]}/{codes[quote]}",)


def _parted(native: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read a name whose parts are told by what stands between them: ``BTC-USDT``, ``BTC_USDT_USDT``, ``BTC-USD-SWAP``."""
    match = _PARTED.fullmatch(native)
    if match is None:
        return ()
    base, quote, last = match[1], match[2], match[3] or ""
    if last.upper() in {"PERP", "SWAP"}:
        return _with_settle(_plain(base, exchange), _plain(quote, exchange), market, exchange)
    if exchange in _QUOTE_FIRST:
        base, quote = _by_rank(base.upper(), quote.upper(), QUOTES[exchange])
    plain_base, plain_quote = _plain(base, exchange), _plain(quote, exchange)
    if last:
        return (f"{plain_base}/{plain_quote}:{_plain(last, exchange)}",)
    return (_joined(plain_base, plain_quote, market or HOME_MARKET.get(exchange, "spot")),)


def _by_rank(one: str, other: str, quotes: tuple[str, ...]) -> tuple[str, str]:
    ranks = [quotes.index(name) if name in quotes else len(quotes) for name in (one, other)]
    return (other, one) if ranks[0] < ranks[1] else (one, other)


def _split(text: str, market: Market | None, exchange: str, listed: MarketList) -> tuple[str, ...]:
    pairs = _pairs(text, market, exchange, listed)
    if market in {"linear", "inverse"}:
        return tuple(symbol for base, quote in pairs for symbol in _with_settle(base, quote, market, exchange))
    return tuple(_joined(base, quote, "spot") for base, quote in pairs)


def _pairs(
    text: str, market: Market | None, exchange: str, listed: MarketList = NOT_LISTED
) -> tuple[tuple[str, str], ...]:
    """Return the likeliest bases and quotes that a name is made of; several if nothing speaks for one of them."""
    match = _PARTED.fullmatch(text)
    if match is not None:
        return ((_plain(match[1], exchange), _plain(match[2], exchange)),)
    ours = _quotes_of(market, exchange)
    found: dict[tuple[str, str], int] = {}
    for quote in dict.fromkeys((*ours, *ALL_QUOTES)):
        base = text.upper().removesuffix(quote)
        if base in {text.upper(), ""} or not base.isalnum():
            continue
        pair = (_plain(base, exchange), _plain(quote, exchange))
        weight = _weight_of_base(pair[0], base)
        if quote in ours:
            weight += _PRICES_IN
        if "/".join(pair) in listed.pairs:
            weight += _LISTED
        found[pair] = max(weight, found.get(pair, weight))
    most = max(found.values(), default=0)
    return tuple(pair for pair, weight in found.items() if weight == most)


def _weight_of_base(asset: str, text: str) -> int:
    if asset in KNOWN_ASSETS:
        return _KNOWN
    return _UNLIKELY if len(text) < 3 else 0


def _quotes_of(market: Market | None, exchange: str) -> tuple[str, ...]:
    """Return the currencies in which a part of an exchange prices; none if that is not known."""
    if market == "inverse":
        return (_DOLLARS,)
    if market == "linear" and exchange == "binance":
        return QUOTES["binanceusdm"]
    return QUOTES.get(exchange, ())


def _with_settle(base: str, quote: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    """Return the contract on a pair; on dollars it depends on the exchange what it is settled in."""
    if quote != _DOLLARS:
        return (_joined(base, quote, "linear"),)
    if market in {"linear", "inverse"}:
        return (_joined(base, quote, market),)
    if exchange in LINEAR_USD:
        return (_joined(base, quote, "linear"),)
    inverse = _joined(base, quote, "inverse")
    return (inverse,) if exchange in INVERSE_USD else (inverse, _joined(base, quote, "linear"))


def _joined(base: str, quote: str, market: Market) -> str:
    settle = {"spot": "", "linear": f":{quote}", "inverse": f":{base}"}[market]
    return f"{base}/{quote}{settle}"


def _plain(name: str, exchange: str) -> str:
    upper = name.upper()
    return CODES.get(exchange, {}).get(upper) or CODES[""].get(upper, upper)


def _pair_of(symbol: str) -> str:
    return symbol.partition(":")[0]


def _market_of(symbol: str) -> Market:
    pair, mark, settle = symbol.partition(":")
    if not mark:
        return "spot"
    return "inverse" if settle.partition("-")[0] == pair.partition("/")[0] else "linear"
