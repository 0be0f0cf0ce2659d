"""Facts about how exchanges name markets: what their names are split by where no market list is at hand.

Sources, and of when
--------------------
``QUOTES``, ``KNOWN_ASSETS``: collected by hand from what the exchanges' public market lists (``exchangeInfo``, ``AssetPairs``, ``products``,
``symbols``) named until 2025-06; not a copy of one day, and not complete. A quote that is missing here costs nothing but
certainty: names that no quote of the exchange fits are split by all of them.
``CODES``: Kraken's ``Assets`` call and Bitfinex' ``conf/pub:map:currency:sym`` until 2025-06, and ``commonCurrencies`` of CCXT 4.5.90, which wins:
the symbols of a lake are CCXT's. Five that Kraken delisted (``XDAO``, ``XICN``, ``XNMC``, ``XXVN``, ``ZKRW``) are not in CCXT.
``KNOWN_IDS``, ``HOME_MARKET``, ``ONLY_MARKET``, ``INVERSE_USD``, ``LINEAR_USD``: the API documentation of each exchange and CCXT's classes, 2025-06.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "ALL_QUOTES",
    "CODES",
    "HOME_MARKET",
    "INVERSE_USD",
    "KNOWN_ASSETS",
    "KNOWN_IDS",
    "LINEAR_USD",
    "ONLY_MARKET",
    "PART_OF_BINANCE",
    "QUOTES",
]

Market = Literal["spot", "linear", "inverse"]

QUOTES: dict[str, tuple[str, ...]] = {
    "binance": (
        *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "PAX", "USDS", "UST", "DAI", "AEUR", "EURI", "VAI", "USD1"),
        *("BTC", "ETH", "BNB", "TRX", "XRP", "DOGE", "DOT", "SOL", "EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH"),
        *("NGN", "ZAR", "JPY", "PLN", "RON", "ARS", "MXN", "COP", "CZK", "BKRW", "IDRT", "BIDR"),
    ),
    "binanceusdm": ("USDT", "USDC", "BUSD", "BTC"),
    "binancecoinm": ("USD",),
    "binanceus": ("USD", "USDT", "USDC", "BUSD", "BTC", "ETH", "BNB", "DAI"),
    "bitfinex": (
        *("USD", "USDT", "UST", "EUR", "EURT", "EUT", "GBP", "JPY", "TRY", "CNHT", "CNH", "MXNT"),
        *("BTC", "ETH", "EOS", "XLM", "DAI", "XAUT", "MIM"),
    ),
    "bitmex": ("USD", "USDT", "USDC", "XBT", "EUR", "ETH"),
    "bitstamp": ("USD", "EUR", "GBP", "USDT", "USDC", "PYUSD", "RLUSD", "PAX", "BTC", "ETH"),
    "bybit": (
        *("USDT", "USDC", "USDE", "USD1", "DAI", "BTC", "ETH", "EUR", "BRL", "PLN", "TRY", "BRZ", "MNT", "SOL", "USD"),
    ),
    "cex": ("USD", "EUR", "GBP", "USDT", "USDC", "RUB", "BTC", "ETH"),
    "coinbase": ("USD", "USDC", "USDT", "EUR", "GBP", "BTC", "ETH", "DAI"),
    "deribit": ("USD", "USDC", "USDT", "BTC", "ETH", "EURR"),
    "exmo": ("USD", "EUR", "USDT", "USDC", "RUB", "UAH", "PLN", "TRY", "KZT", "GBP", "BTC", "ETH"),
    "fxcm": ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "CNH", "HKD", "MXN", "NOK", "SEK", "TRY", "ZAR"),
    "gemini": ("USD", "GUSD", "EUR", "GBP", "SGD", "DAI", "USDT", "USDC", "RLUSD", "BTC", "ETH", "BCH", "LTC", "FIL"),
    "hitbtc": ("USD", "USDT", "USDC", "TUSD", "DAI", "EURS", "EOS", "BTC", "ETH", "BCH"),
    "htx": (
        *("USDT", "USDC", "HUSD", "USDD", "TUSD", "BTC", "ETH", "HT", "TRX", "EUR", "TRY", "BRL", "RUB", "UAH", "GBP"),
    ),
    "kraken": (
        *("USD", "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "KRW", "AED", "USDT", "USDC", "DAI", "PYUSD", "RLUSD"),
        *("USDG", "USDQ", "EURQ", "EURR", "XBT", "BTC", "ETH", "DOT", "XDG"),
    ),
    "krakenfutures": ("USD", "EUR", "XBT"),
    "oanda": (
        *("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "CNH", "CZK", "DKK", "HKD", "HUF", "INR", "MXN"),
        *("NOK", "PLN", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "ZAR"),
    ),
    "phemex": ("USDT", "USD", "USDC", "BTC", "ETH"),
    "poloniex": ("USDT", "USDC", "USDD", "USDJ", "TUSD", "BUSD", "DAI", "PAX", "BNB", "XMR", "BTC", "ETH", "TRX"),
}
"""The currencies in which each exchange prices, or priced, what it trades."""
QUOTES["dukascopy"] = QUOTES["oanda"]
QUOTES["upbit"] = ("KRW", "SGD", "IDR", "THB", "USDT", "BTC", "ETH")
QUOTES["bittrex"] = ("USD", "EUR", "USDT", "USDC", "BTC", "ETH")
_OTHERS = {"BVND", "CUSD", "DUSD", "IDR", "INR", "JPYC", "KCS", "MATIC", "OKB", "PHP", "SUSD", "USDK", "VND"}
ALL_QUOTES = tuple(sorted(_OTHERS.union(*QUOTES.values()), key=lambda quote: (-len(quote), quote)))
"""Longest first; several readings of a name are listed in this order."""

_KRAKEN = {"XDAO": "DAO", "XXBT": "BTC", "XXDG": "DOGE", "XXVN": "VEN"}
# Kraken's oldest codes have four letters: X before a coin and Z before a currency.
for _code in (
    *("XETC", "XETH", "XICN", "XLTC", "XMLN", "XNMC", "XREP", "XXLM", "XXMR", "XXRP", "XZEC"),
    *("ZAUD", "ZCAD", "ZEUR", "ZGBP", "ZJPY", "ZKRW", "ZUSD"),
):
    _KRAKEN[_code] = _code[1:]
CODES: dict[str, dict[str, str]] = {
    "": {"XBT": "BTC", "XDG": "DOGE"},
    "kraken": _KRAKEN,
    "bitfinex": {
        "UST": "USDT",
        "UDC": "USDC",
        "TSD": "TUSD",
        "EUT": "EURT",
        "EUS": "EURS",
        "DSH": "DASH",
        "QTM": "QTUM",
        "IOT": "IOTA",
        "ALG": "ALGO",
        "ATO": "ATOM",
        "DAT": "DATA",
        "MNA": "MANA",
        "QSH": "QASH",
        "RBT": "RBTC",
        "SNG": "SNGLS",
        "STJ": "STORJ",
        "VSY": "VSYS",
        "WAX": "WAXP",
    },
}
"""What exchanges call assets, where everybody else calls them otherwise; those of ``""`` hold everywhere."""

_RENAMED = {
    "binance": "YOYO=YOYOW",
    "binancecoinm": "YOYO=YOYOW",
    "binanceus": "YOYO=YOYOW",
    "binanceusdm": "YOYO=YOYOW",
    "bitfinex": (
        "AMP=AMPL BCHABC=XEC BCHN=BCH DOG=MDOGE EDO=PNT HTX=HT IDX=ID IQX=IQ LUNA=LUNC LUNA2=LUNA "
        "PAS=PASS TERRAUST=USTC XCH=XCHF YGG=YEED YYW=YOYOW ZBT=ZB"
    ),
    "bitget": "APX=AstroPepeX DEGEN=DegenReborn EVA=Evadore OMNI=omni TONCOIN=TON",
    "bitstamp": "UST=USTC",
    "coinbase": "CGLD=CELO",
    "gate": (
        "88MPH=MPH ASS=ASSF AXIS=AXISDEFI BIFI=BITCOINFILE BOX=DEFIBOX BYN=BEYONDFI EGG=GOOSEFINANCE "
        "GTC=GAMECOM HIT=HITCHAIN MM=MILLION MPH=MORPHER ORT=XREATORS POINT=GATEPOINT RAI=RAIREFLEXINDEX "
        "SBTC=SUPERBITCOIN TNC=TRINITYNETWORKCREDIT TRAC=TRACO VAI=VAIOT"
    ),
    "hitbtc": (
        "AUTO=Cube BDP=BidiPass BIT=BitRewards CPT=Cryptaur GET=Themis HSR=HC LNC=LinkerCoin PLA=PlayChip "
        "PNT=Penta STEPN=GMT STX=STOX TV=Tokenville XMT=MTL XPNT=PNT"
    ),
    "htx": (
        "BIFI=BITCOINFILE GET=THEMIS GTC=GAMECOM HIT=HITCHAIN NGL=GFNGL PNT=PENTA SBTC=SUPERBITCOIN SOUL=SOULSAVER"
    ),
    "kraken": "FEE=KFEE LUNA=LUNC LUNA2=LUNA REP=REPV1 REPV2=REP UST=USTC",
    "kucoin": "ALT=APTOSLAUNCHTOKEN BIFI=BIFIF KALT=ALT VAI=VAIOT WAX=WAXP",
    "kucoinfutures": "ALT=APTOSLAUNCHTOKEN BIFI=BIFIF KALT=ALT VAI=VAIOT WAX=WAXP",
    "mexc": (
        "BEYONDPROTOCOL=BEYOND BIFI=BIFIF BYN=BEYONDFI COFI=COFIX DFI=DFISTARTER DFT=DFUTURE "
        "EGC=EGORASCREDIT FLUX=FLUX1 FLUX1=FLUX FREE=FREEROSSDAO GAS=GASDAO GASNEO=GAS GMT=GMTTOKEN "
        "HERO=STEPHERO MIMO=MIMOSA PROS=PROSFINANCE SIN=SINCITYTOKEN SOUL=SOULSWAP STEPN=GMT"
    ),
    "okx": "AE=AET",
    "poloniex": (
        "AIR=AirCoin APH=AphroditeCoin BCC=BTCtalkcoin BDG=Badgercoin BTM=Bitmark CON=Coino ETHTRON=ETH "
        "GOLD=GoldEagles GPUC=GPU HOT=Hotcoin KEY=KEYCoin PLX=ParallaxCoin REPV2=REP SOC=SOCC STR=XLM "
        "TRADE=Unitrade TRXETH=TRX USDTBSC=USDT USDTETH=USDT USDTTRON=USDT UST=USTC"
    ),
}
"""Further assets that CCXT calls otherwise than the exchange: ``commonCurrencies`` of CCXT 4.5.90, without those with spaces."""
for _exchange, _codes in _RENAMED.items():
    _own = CODES.setdefault(_exchange, {})
    for _renamed in _codes.split():
        _code, _, _unified = _renamed.partition("=")
        # CCXT's name wins over the exchange's own list, as the symbols of a lake are CCXT's.
        _own[_code] = _unified

KNOWN_IDS: dict[str, dict[str, str]] = {
    "kraken": {"USDTZUSD": "USDT/USD"},
    "bitmex": {"XBTEUR": "BTC/EUR:BTC", "ETHUSD_ETH": "ETH/USD:ETH"},
    "bitflyer": {"FX_BTC_JPY": "BTC/JPY:JPY"},
}
"""Names that follow no rule."""

HOME_MARKET: dict[str, Market] = {
    "binanceusdm": "linear",
    "binancecoinm": "inverse",
    "binanceus": "spot",
    "kucoinfutures": "linear",
    "krakenfutures": "linear",
}
"""Exchange ids of CCXT that are one part of an exchange."""

ONLY_MARKET: dict[str, Market] = {"binanceusdm": "linear", "binancecoinm": "inverse", "binanceus": "spot"}
"""Those that trade nothing else."""

PART_OF_BINANCE: dict[Market, str] = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}

INVERSE_USD = frozenset(
    {"binance", "binancecoinm", "bitget", "bitmex", "bybit", "deribit", "htx", "kucoinfutures", "okx", "phemex"}
)
LINEAR_USD = frozenset({"bitstamp", "coinbaseinternational", "cryptocom", "dydx", "ftx", "krakenfutures", "paradex"})
"""Where contracts on dollars are settled in the base (inverse), and where in dollars (linear)."""

_ASSETS = (
    "1INCH AAVE ACA ACH ADA AE AGIX AGLD AI AKT ALCX ALGO ALICE ALPHA AMB AMP ANKR ANT APE API3 APT AR ARB ARK "
    "ARPA AST ASTR ATOM AUD AUDIO AVAX AXS BADGER BAKE BAL BAND BAT BCC BCH BEAM BEL BLUR BLZ BNB BNT BOME BONK "
    "BSV BTC BTCB BTG BTS BTT BUSD C98 CAD CAKE CELO CELR CFX CHF CHR CHZ CKB COMP COTI CRO CRV CTK CTSI CVC CVX "
    "CYBER DAI DASH DASHA DATA DCR DENT DGB DNT DODO DOGE DOT DYDX EGLD ELF ENA ENJ ENS EOS ETC ETH ETHFI ETHW "
    "EUR EURS EURT FDUSD FET FIL FLM FLOKI FLOW FLR FTM FTT FX FXS GAL GALA GAS GBP GLM GLMR GMT GMX GNO GNT GODS GRT "
    "GT GTC GUSD HBAR HIGH HNT HOT HT HUSD HYPE ICP ICX ID IMX INCH INJ IO IOST IOTA IOTX IQ JASMY JOE JPY JTO "
    "JUP KAS KAVA KCS KDA KEEP KNC KP3R KSM LDO LEO LINA LINK LIT LOOKS LPT LQTY LRC LSK LTC LUNA LUNC LUSD "
    "MAGIC MANA MASK MATIC MEME METIS MINA MIR MKR MLN MNT MTL NEAR NEO NKN NMR NOT NU NZD OCEAN OG OGN OKB OM "
    "OMG ONDO ONE ONG ONT OP ORDI OXT PAX PAXG PENDLE PEOPLE PEPE PERP PHA PNUT POL POLYX POWR PYTH PYUSD QNT "
    "QTUM RAD RARE RAY REEF REN RENDER REP REQ RLC RLUSD RNDR ROSE RPL RSR RUNE RVN SAND SC SEI SFP SHIB SKL SLP "
    "SNT SNX SOL SPELL SRM SSV STEEM STG STMX STORJ STRK STX SUI SUPER SUSD SUSHI SXP T TAO TBTC THETA TIA TNB "
    "TOMO TON TRB TRU TRUMP TRX TRY TUSD TWT UMA UNI USD USDC USDD USDE USDP USDT UST USTC UTK VAI VEN VET VTHO "
    "W WAVES WAX WAXP WBETH WBTC WIF WLD WOO XAUT XBT XDG XEC XEM XLM XMR XNO XRP XTZ XVG XVS YFI YGG ZEC ZEN "
    "ZIL ZK ZRO ZRX "
)
KNOWN_ASSETS = frozenset(_ASSETS.split())
"""Assets that are widely traded, by their unified names: a reading of a name that has one is more likely than one that has not."""
