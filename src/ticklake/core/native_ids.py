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
_DERIBIT_OPTION = re.compile(
    r"(?P<pair>[A-Z0-9]+(?:_[A-Z]+)?)-(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d\d)-(?P<strike>\d+(?:D\d+)?)-(?P<right>[CP])"
)
_OKX_OPTION = re.compile(r"(?P<base>[A-Z0-9]+)-USD-(?P<day>\d{6})-(?P<strike>\d+(?:\.\d+)?)-(?P<right>[CP])")
_BITFLYER_FUTURE = re.compile(r"(?P<base>[A-Z]+)JPY(?P<day>\d\d)(?P<month>[A-Z]{3})20(?P<year>\d\d)")
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
            known = by_id.get(native.upper(), ())
            if native and symbol not in known:
                by_id[native.upper()] = (*known, symbol)
        return cls(by_id, frozenset(pairs))

    def named(self, native: str, market: Market | None) -> tuple[str, ...]:
        """Return the symbols that had a native id, those of *market* if there are any."""
        symbols = self.by_id.get(native.upper(), ())
        if market is None:
            return symbols
        of_market = tuple(symbol for symbol in symbols if _market_of(symbol) == market)
        return of_market or symbols


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
    symbols = readings(native, market, exchange, listed)
    _refuse_another_part(native, symbols, exchange)
    if said in symbols or (market is None and _pair_of(said) in map(_pair_of, symbols)):
        return said
    if not symbols:
        if _OPTION.fullmatch(native):
            raise InvalidName(
                f"{native!r} is an option, whose symbol is not told from names: name the dataset (--dataset)"
            )
        # Hyperliquid names a market by its base alone, which no rule can read: BTC.
        if native and native.casefold() == _pair_of(said).partition("/")[0].casefold():
            return said
        return None
    first = symbols[0]
    if len(symbols) > 1:
        choices = " or ".join(symbols)
        if exchange:
            choices += f" on {exchange}"
        raise InvalidName(f"{native!r} may be {choices}: say which with symbol={first!r} (--symbol {first})")
    return first


def _refuse_another_part(native: str, symbols: Iterable[str], exchange: str) -> None:
    """Refuse a contract of another part of the exchange: ``ETHUSDT_210924`` is none of Binance's contracts on coins."""
    if exchange not in ONLY_MARKET:
        return
    for symbol in symbols:
        market = _market_of(symbol)
        if market != ONLY_MARKET[exchange]:
            raise InvalidName(
                f"{native!r} is {symbol}, which {exchange} does not trade: say --exchange {PART_OF_BINANCE[market]}"
            )


def readings(
    native: str, market: Market | None = None, exchange: str = "", listed: MarketList = NOT_LISTED
) -> tuple[str, ...]:
    """Return every symbol that a native name can mean, the likeliest alone if it stands out; see :func:`unified`."""
    symbols = listed.named(native, market)
    if symbols:
        return symbols
    text = native.upper()
    known = KNOWN_IDS.get(exchange, {}).get(text)
    if known is not None:
        return (known,)
    option = _option(text, exchange)
    if option:
        return option
    if _OPTION.fullmatch(text) or _names_no_market(native, exchange):
        return ()
    # From the most to the least specific: a contract's suffix or day would be taken for a currency by the rules after it.
    for read in (_contract, _legacy, _parted):
        symbols = read(native, market, exchange)
        if symbols:
            return symbols
    return _split(text, market or HOME_MARKET.get(exchange), exchange, listed)


def _names_no_market(native: str, exchange: str) -> bool:
    """Whether a name is of something else: a day or an index in the place of a currency, a currency that is lent."""
    parts = re.split(r"[-_/:]", native)
    is_dated = len(parts) > 2 and any(map(_DAY.fullmatch, parts[1:-1]))
    is_index = exchange == "deribit" and len(parts) == 2 and parts[1].upper() == "DVOL"
    is_funding = exchange == "bitfinex" and _FUNDING.fullmatch(native) is not None
    return is_dated or is_index or is_funding


def contract_market(native: str, exchange: str) -> Market | None:
    """Return in what a contract with a joined name like ``BTCUSD`` is settled; ``None`` for names that say it themselves."""
    if not native.isalnum():
        return None
    if native.upper().endswith(_DOLLARS) and exchange in INVERSE_USD:
        return "inverse"
    return "linear"


def _contract(native: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read a contract, whose name says that it is one."""
    for exchanges, pattern, build in _CONTRACTS:
        if exchanges and exchange not in exchanges:
            continue
        match = pattern.fullmatch(native)
        if match is not None:
            return build(match, market, exchange)
    return ()


def _binance_like(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTCUSD_PERP``, ``ETHUSDT_210924``, ``BTC-USD-SWAP``, ``BTC_USDT_20240329``; Binance alone joins the pair."""
    pair = match["pair"]
    exchange = exchange or _writer_of(match)
    priced: Market = "linear"
    if pair.upper().endswith(_DOLLARS):
        priced = "inverse"
    contracts = _contracts_on(_pairs(pair, priced, exchange), market, exchange)
    # Some write the century of the day (``20240329``); unified symbols never do.
    return _expiring(contracts, (match["day"] or "")[-6:])


def _writer_of(match: re.Match[str]) -> str:
    """Return an exchange that writes contracts so: ``BTCUSD_PERP`` Binance, ``BTC-USD-SWAP`` OKX, ``BTC-USD-PERP`` those on dollars."""
    if match["pair"].isalnum():
        return "binance"
    if match[0].upper().endswith("PERP"):
        return "ftx"
    return "okx"


def _by_day(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTC-29MAR24`` and ``SOL_USDC-5JUL24``; of a bare base Deribit's is inverse, Bybit's is in USDC."""
    month = _MONTHS.get(match["month"].upper())
    if month is None:
        return ()
    contracts = _of_base_or_pair(match["pair"], market, exchange)
    return _expiring(contracts, f"{match['year']}{month:02d}{int(match['day']):02d}")


def _option(text: str, exchange: str) -> tuple[str, ...]:
    """Read the option of an exchange whose rule is known; empty for all others."""
    if exchange == "deribit":
        option = _DERIBIT_OPTION.fullmatch(text)
        return () if option is None else _deribit_option(option)
    option = _OKX_OPTION.fullmatch(text)
    if exchange != "okx" or option is None:
        return ()
    return (f"{option['base']}/USD:{option['base']}-{option['day']}-{option['strike']}-{option['right']}",)


def _deribit_option(match: re.Match[str]) -> tuple[str, ...]:
    """Read ``BTC-31DEC21-34000-P`` and ``XRP_USDC-5JUL24-0d625-C``, whose point is a ``d``."""
    strike = match["strike"].replace("D", ".")
    return tuple(f"{future}-{strike}-{match['right']}" for future in _by_day(match, None, "deribit"))


def _perpetual(match: re.Match[str], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``BTC-PERPETUAL``, ``SOL_USDC-PERPETUAL``, ``BTCPERP``."""
    return _of_base_or_pair(match["pair"], market, exchange)


def _of_base_or_pair(text: str, market: Market | None, exchange: str) -> tuple[str, ...]:
    base, separator, quote = text.partition("_")
    if separator:
        pair = (_plain(base, exchange), _plain(quote, exchange))
        return _contracts_on([pair], market, exchange)
    if exchange != "bybit":
        return (_symbol(_plain(text, exchange), _DOLLARS, "inverse"),)
    if text.endswith(("USDT", "USDC", _DOLLARS)):
        return _contracts_on(_pairs(text, "linear", exchange), market, exchange)
    return (_symbol(_plain(text, exchange), "USDC", "linear"),)


def _by_month_code(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``XBTH24`` and ``BTCUSDZ24``: inverse, and over on the last Friday of the month."""
    year, month = 2000 + int(match["year"]), _MONTH_CODES[match["month"]]
    last = dt.date(year, month, calendar.monthrange(year, month)[1])
    expiry = last - dt.timedelta(days=(last.weekday() - _FRIDAY) % 7)
    contract = _symbol(_plain(match["base"], exchange), _DOLLARS, "inverse")
    return _expiring([contract], f"{expiry:%y%m%d}")


def _bitflyer_future(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``BTCJPY28DEC2018``, which is settled in yen."""
    month = _MONTHS.get(match["month"])
    if month is None:
        return ()
    return _expiring([f"{match['base']}/JPY:JPY"], f"{match['year']}{month:02d}{match['day']}")


def _kraken_futures(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``PI_XBTUSD`` (inverse) and ``PF_XBTUSD`` (linear), and ``FI_`` and ``FF_`` with a day."""
    market: Market = "linear"
    if match["sort"][1] == "I":
        market = "inverse"
    contracts = _symbols(_pairs(match["pair"], market, "krakenfutures"), market)
    return _expiring(contracts, match["day"] or "")


def _suffixed(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read Bitget's first names, ``BTCUSDT_UMCBL``, and Phemex' spot names, ``sBTCUSDT``."""
    if match["sort"] == "CMCBL":
        # Its contracts in USDC name the base alone: ``BTCPERP_CMCBL``.
        return (_symbol(match["pair"].removesuffix("PERP"), "USDC", "linear"),)
    market = _MARKET_OF_SUFFIX.get(match["sort"], "spot")
    return _symbols(_pairs(match["pair"], market, exchange), market)


_MARKET_OF_SUFFIX: dict[str, Market] = {"UMCBL": "linear", "DMCBL": "inverse"}


def _phemex(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``BTCUSD`` and ``cETHUSD``, which are inverse, ``uBTCUSD``, settled in USDT, and others, settled in their quote currency."""
    base, quote, sort = _plain(match["base"], "phemex"), match["quote"], match["sort"]
    if sort == "u":
        return (f"{base}/{quote}:USDT",)
    if sort == "c" or (base, quote) == ("BTC", _DOLLARS):
        return (_symbol(base, quote, "inverse"),)
    return (_symbol(base, quote, "linear"),)


def _hyperliquid(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``BTC`` and ``kPEPE``: perpetual contracts are named by the base alone, and settled in USDC."""
    return (_symbol(match["base"].upper(), "USDC", "linear"),)


def _usual_perpetual(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read Bitget's ``BTCPERP``, settled in USDC, and Gemini's ``BTCGUSDPERP``."""
    if exchange == "bitget":
        return (_symbol(match["pair"], "USDC", "linear"),)
    return _contracts_on(_pairs(match["pair"], "linear", exchange), "linear", exchange)


def _kucoin(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``XBTUSDTM``, and ``XBTUSDM``, which is inverse."""
    # CCXT has KuCoin's contracts as an exchange of its own, so the tables list them there.
    return _contracts_on(_pairs(match["pair"], "linear", exchange), None, "kucoinfutures")


def _bitmex(match: re.Match[str], _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read ``ADAUSD`` and ``XBTUSDT``: contracts on dollars are settled in bitcoin, others in their quote currency."""
    base, quote = _plain(match["base"], exchange), match["quote"]
    if quote == _DOLLARS:
        return (f"{base}/{quote}:BTC",)
    return (_symbol(base, quote, "linear"),)


def _bitfinex(match: re.Match[str], _market: Market | None, _exchange: str) -> tuple[str, ...]:
    """Read ``tBTCUSD``, ``tDUSK:USD``, and ``tBTCF0:USTF0``, which is a perpetual contract."""
    pair = match["pair"]
    base, separator, quote = pair.partition(":")
    if not separator:
        return _symbols(_pairs(pair, "spot", "bitfinex"), "spot")
    if base.endswith("F0") and quote.endswith("F0"):
        return (_symbol(_plain(base[:-2], "bitfinex"), _plain(quote[:-2], "bitfinex"), "linear"),)
    return (_symbol(_plain(base, "bitfinex"), _plain(quote, "bitfinex"), "spot"),)


_Pair = tuple[str, str]
"""A base and a quote."""
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
    (frozenset({"phemex"}), re.compile(r"(?P<sort>[cu]?)(?P<base>[A-Z0-9]+?)(?P<quote>USDT|USDC|USD)"), _phemex),
    (frozenset({"hyperliquid"}), re.compile(r"(?!.+(?:USD[CT]?|usd[ct]?)$)(?P<base>[A-Za-z0-9]+)"), _hyperliquid),
    (frozenset({"bitflyer"}), _BITFLYER_FUTURE, _bitflyer_future),
    (frozenset({"bitget", "gemini"}), re.compile(r"(?P<pair>[A-Z0-9]+)PERP"), _usual_perpetual),
    (frozenset({"", "bitfinex"}), re.compile(r"t(?P<pair>[A-Z0-9]+(?::[A-Z0-9]+)?)"), _bitfinex),
)  # fmt: skip
"""What the names of contracts look like: on which exchanges (on any, if none is named), and how they are read."""
_PARTED = re.compile(r"([A-Za-z0-9]+)[-_/]([A-Za-z0-9]+)(?:[-_:/]([A-Za-z0-9]+))?")


def _legacy(native: str, _market: Market | None, exchange: str) -> tuple[str, ...]:
    """Read Kraken's old names of two codes with four letters each: ``XETHZUSD``."""
    # Only where both are codes: a plain name of eight letters may be split anywhere.
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
        pair = (_plain(base, exchange), _plain(quote, exchange))
        return _contracts_on([pair], market, exchange)
    if exchange in _QUOTE_FIRST and _rank(base, exchange) < _rank(quote, exchange):
        base, quote = quote, base
    base, quote = _plain(base, exchange), _plain(quote, exchange)
    if last:
        return (f"{base}/{quote}:{_plain(last, exchange)}",)
    return (_symbol(base, quote, market or HOME_MARKET.get(exchange, "spot")),)


def _rank(currency: str, exchange: str) -> int:
    """Return the place of a currency among those in which an exchange prices; the number of them if it is none."""
    quotes = QUOTES[exchange]
    if currency.upper() in quotes:
        return quotes.index(currency.upper())
    return len(quotes)


def _split(text: str, market: Market | None, exchange: str, listed: MarketList) -> tuple[str, ...]:
    pairs = _pairs(text, market, exchange, listed)
    if market in {"linear", "inverse"}:
        return _contracts_on(pairs, market, exchange)
    return _symbols(pairs, "spot")


def _pairs(text: str, market: Market | None, exchange: str, listed: MarketList = NOT_LISTED) -> tuple[_Pair, ...]:
    """Return the likeliest bases and quotes that a name is made of; several if nothing speaks for one of them."""
    match = _PARTED.fullmatch(text)
    if match is not None:
        return ((_plain(match[1], exchange), _plain(match[2], exchange)),)
    own_quotes = _quotes_of(market, exchange)
    weights: dict[_Pair, int] = {}
    # Every currency is tried, as names that end with a longer one may be meant otherwise: ETHUSD is ETH/USD and not ET/HUSD.
    for quote in dict.fromkeys((*own_quotes, *ALL_QUOTES)):
        base = text.upper().removesuffix(quote)
        if base in {text.upper(), ""} or not base.isalnum():
            continue
        pair = (_plain(base, exchange), _plain(quote, exchange))
        weight = _weight_of_base(pair[0], base)
        if quote in own_quotes:
            weight += _PRICES_IN
        if "/".join(pair) in listed.pairs:
            weight += _LISTED
        weights[pair] = max(weight, weights.get(pair, weight))
    most = max(weights.values(), default=0)
    return tuple(pair for pair, weight in weights.items() if weight == most)


def _weight_of_base(asset: str, text: str) -> int:
    if asset in KNOWN_ASSETS:
        return _KNOWN
    if len(text) < 3:
        return _UNLIKELY
    return 0


def _quotes_of(market: Market | None, exchange: str) -> tuple[str, ...]:
    """Return the currencies in which a part of an exchange prices; none if that is not known."""
    if market == "inverse":
        return (_DOLLARS,)
    if market == "linear" and exchange == "binance":
        return QUOTES["binanceusdm"]
    return QUOTES.get(exchange, ())


def _contracts_on(pairs: Iterable[_Pair], market: Market | None, exchange: str) -> tuple[str, ...]:
    """Return the contracts on pairs: two of a pair if nothing says what they are settled in."""
    symbols: list[str] = []
    for base, quote in pairs:
        symbols += [_symbol(base, quote, settled) for settled in _settled(quote, market, exchange)]
    return tuple(symbols)


def _settled(quote: str, market: Market | None, exchange: str) -> tuple[Market, ...]:
    """Return what contracts priced in *quote* may be; on dollars it depends on the exchange what they are settled in."""
    if quote != _DOLLARS:
        return ("linear",)
    if market in {"linear", "inverse"}:
        return (market,)
    if exchange in LINEAR_USD:
        return ("linear",)
    if exchange in INVERSE_USD:
        return ("inverse",)
    return ("inverse", "linear")


def _symbols(pairs: Iterable[_Pair], market: Market) -> tuple[str, ...]:
    return tuple(_symbol(base, quote, market) for base, quote in pairs)


def _symbol(base: str, quote: str, market: Market) -> str:
    if market == "linear":
        return f"{base}/{quote}:{quote}"
    if market == "inverse":
        return f"{base}/{quote}:{base}"
    return f"{base}/{quote}"


def _expiring(contracts: Iterable[str], day: str) -> tuple[str, ...]:
    """Return contracts that end on a *day*, ``YYMMDD``; as they are if it is empty."""
    if not day:
        return tuple(contracts)
    return tuple(f"{contract}-{day}" for contract in contracts)


def _plain(name: str, exchange: str) -> str:
    upper = name.upper()
    return CODES.get(exchange, {}).get(upper) or CODES[""].get(upper, upper)


def _pair_of(symbol: str) -> str:
    return symbol.partition(":")[0]


def _market_of(symbol: str) -> Market:
    pair, separator, settle = symbol.partition(":")
    if not separator:
        return "spot"
    if settle.partition("-")[0] == pair.partition("/")[0]:
        return "inverse"
    return "linear"
