"""Settings: the only reader of configuration files and of the environment.

Order: what the caller passes, then environment variables (``TICKLAKE_LAKE``, ``TICKLAKE_EXCHANGES__BINANCE__URL``),
then ``ticklake.toml`` in the working folder, then the defaults.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from ticklake.core.read_plan import CACHE_SIZE
from ticklake.core.retry import OF_CALLS, OF_JOBS, RetryPolicy
from ticklake.core.sql import LEAST_MEMORY, OF_QUERIES, SqlLimits
from ticklake.core.streams import OF_STREAMS, LiveOptions
from ticklake.errors import BadInput
from ticklake.setting_types import Address, Lag, Length, MinFree, Origin, Size

if TYPE_CHECKING:
    from ticklake.core.knowledge import Lags
    from ticklake.jobs.manifest import Wanted

__all__ = [
    "CONFIG_FILE",
    "WANTED_FILE",
    "AlertSettings",
    "ExchangeSettings",
    "JobSettings",
    "KnowledgeSettings",
    "LiveSettings",
    "LogSettings",
    "ServerSettings",
    "Settings",
    "SqlSettings",
    "load_settings",
    "load_wanted",
    "setting_problems",
    "unknown_variables",
]

CONFIG_FILE = "ticklake.toml"
WANTED_FILE = "collect.toml"
_PLAIN_WORDS = {
    "missing": "is missing: add it",
    "extra_forbidden": "there is no such key: check how it is written",
    "string_type": "is no text: write it in quotes",
    "string_too_short": "is empty: write at least {min_length} character",
    "string_pattern_mismatch": "is not written like 30m, 1h, 1d or 2w",
    "int_type": "is no whole number",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "float_type": "is no number",
    "float_parsing": "is no number",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "list_type": "is no list: write it like ['A', 'B']",
    "too_short": "is empty: name at least {min_length}",
    "dict_type": "is no table of names and values",
    "model_type": "is no table of names and values",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "byte_size": "is no size: write it like 500MB",
    "byte_size_unit": "is no size: write it like 500MB",
}
"""The words for the types of errors of pydantic, whose own are those of Python programmers."""
_SECRETS = frozenset({"api_key", "api_secret", "urls"})
"""Settings whose values are never shown."""


class ExchangeSettings(BaseModel):
    """How one exchange is reached."""

    model_config = ConfigDict(extra="forbid")

    url: Address | None = Field(None, description="Replaces scheme and host of every address of this exchange.")
    archive_url: str | None = Field(
        None, description="Where its dump site is, instead of the known one; with url alone none is used."
    )
    api_key: SecretStr | None = Field(
        None, description="Only for data that needs one; never logged. Or keyring, or file:PATH of a file of mode 0600."
    )
    api_secret: SecretStr | None = Field(None, description="Goes with api_key; never logged.")
    rate_limit_ms: float | None = Field(None, ge=0, description="Milliseconds between calls, instead of ccxt's.")
    timeout: float = Field(20.0, gt=0, description="Seconds until a call is given up.")
    at_once: int = Field(4, ge=1, le=64, description="How many datasets are fetched at the same time.")
    calendar: str | None = Field(
        None, description="When it is open: a calendar of exchange_calendars like XNYS, or forex, or always."
    )

    def secret(self, exchange: str, name: str) -> str | None:
        """Return ``api_key`` or ``api_secret`` itself, also if it is in the keyring or in a file."""
        from ticklake.exchange_keys import resolve_key

        value: SecretStr | None = getattr(self, name)
        if value is None or not value.get_secret_value():
            return None
        return resolve_key(exchange, name, value.get_secret_value())


class RetrySettings(BaseModel):
    """How often failed calls are repeated, and how long to wait in between."""

    model_config = ConfigDict(extra="forbid")

    attempts: int = Field(OF_CALLS.attempts, ge=1, description="Tries before a call counts as failed.")
    first_wait: float = Field(
        OF_CALLS.first_wait, ge=0, description="Seconds before the second try; grows and jitters from there."
    )
    longest_wait: float = Field(OF_CALLS.longest_wait, ge=0, description="Seconds that a wait never exceeds.")

    @property
    def policy(self) -> RetryPolicy:
        """The same as a value."""
        return RetryPolicy(self.attempts, self.first_wait, self.longest_wait)


class JobSettings(BaseModel):
    """How jobs are done."""

    model_config = ConfigDict(extra="forbid")

    lease: float = Field(60.0, gt=0, description="Seconds without a heartbeat until a job is taken from its worker.")
    idle: float = Field(1.0, gt=0, description="Seconds between two polls of an empty queue by a worker.")
    attempts: int = Field(OF_JOBS.attempts, ge=1, description="Tries of a job whose failures may pass.")
    first_wait: float = Field(
        OF_JOBS.first_wait, ge=0, description="Seconds before the second try; doubles and jitters from there."
    )
    longest_wait: float = Field(OF_JOBS.longest_wait, ge=0, description="Seconds that a wait never exceeds.")

    @property
    def retry_policy(self) -> RetryPolicy:
        """The same as a value."""
        return RetryPolicy(self.attempts, self.first_wait, self.longest_wait)


class LiveSettings(BaseModel):
    """How live rows are collected."""

    model_config = ConfigDict(extra="forbid")

    flush_rows: int = Field(OF_STREAMS.flush_rows, ge=1, description="Rows are committed when so many wait.")
    flush_seconds: float = Field(OF_STREAMS.flush_seconds, gt=0, description="And when the oldest has waited so long.")
    most_rows: int = Field(
        OF_STREAMS.most_rows,
        ge=1,
        description="When so many wait, nothing is read from sockets until a commit is done.",
    )
    store_retry: float = Field(
        OF_STREAMS.store_retry,
        ge=0,
        description="Seconds for which a commit is tried again while the lake cannot be written.",
    )
    end_retry: float = Field(
        OF_STREAMS.end_retry, ge=0, description="The same for the last commit, once streams are told to end."
    )
    fill_delay: float = Field(
        OF_STREAMS.fill_delay, ge=0, description="Seconds from the end of a hole until calls are asked for its rows."
    )

    recheck_seconds: float = Field(
        OF_STREAMS.recheck_seconds,
        gt=0,
        description="Seconds after which the newest bars are asked for again: they may be corrected late.",
    )
    checkpoint_seconds: float = Field(
        OF_STREAMS.checkpoint_seconds,
        ge=0,
        description="About how often a checkpoint of each order book is written; 0 for never.",
    )
    cache_seconds: float = Field(300.0, gt=0, description="How long the newest rows of live datasets stay in memory.")
    cache_bytes: Size = Field(ByteSize(256 * 1024**2), description="Memory for these rows, of all datasets together.")
    poll_seconds: float = Field(
        0.5, gt=0, description="Seconds after which subscribers look for what other processes have committed."
    )

    @property
    def options(self) -> LiveOptions:
        """How rows are collected, as a value."""
        return LiveOptions(**self.model_dump(exclude={"cache_seconds", "cache_bytes", "poll_seconds"}))


Rule = Literal["run_failed", "stale", "gaps", "disk"]


class AlertSettings(BaseModel):
    """Which alerts are sent, where, and when."""

    model_config = ConfigDict(extra="forbid")

    urls: list[SecretStr] = Field(default_factory=list, description="Addresses in the form of apprise; never shown.")
    on: list[Rule] = Field(default_factory=lambda: list(get_args(Rule)), description="The rules that hold.")
    cooldown: Length = Field("1h", description="A lasting alert is sent again after so long.")
    stale_bars: int = Field(3, ge=1, description="Bars are stale so many lengths after the newest one closed.")
    stale_after: Length = Field("1d", description="Other kinds are stale so long after their newest row.")
    gap_window: Length = Field("1w", description="Gaps count in so much time before now.")
    datasets: list[str] = Field(default_factory=lambda: ["*"], description="Patterns: whose staleness and gaps matter.")
    disk_free: float = Field(2.0, ge=1, description="The alert comes when so many times min_free is left.")


class ServerSettings(BaseModel):
    """How the lake is served over HTTP."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("127.0.0.1", description="The address that ``ticklake serve`` listens on.")
    port: int = Field(8470, ge=0, le=65535, description="Its port; 0 takes a free one.")
    threads: int = Field(
        4, ge=1, le=64, description="Requests that are answered at the same time; more make all of them slower."
    )
    processes: int = Field(1, ge=1, le=64, description="Processes that answer requests, each with so many threads.")
    log_requests: bool = Field(
        True, description="Whether each request is a line of the log; else those alone that are slow or fail."
    )
    slow: float = Field(1.0, ge=0, description="A request that takes more seconds is logged as slow.")
    shutdown_seconds: float = Field(
        30.0,
        gt=0,
        description="Within so many seconds the server has ended after SIGTERM; what is left undone goes on later.",
    )
    require_token: bool | None = Field(
        None,
        description="Whether each request needs a token. By default it does on a public address, or once the lake has one.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Names by which it is reached, beside its address: lake.example.com, *.home."
    )
    allowed_origins: list[Origin] = Field(
        default_factory=list, description="Web pages of others that may use it: https://dash.example.com."
    )
    proxies: list[str] = Field(
        default_factory=list, description="Addresses of reverse proxies, whose X-Forwarded headers are believed."
    )
    session: Length = Field("12h", description="How long a browser stays signed in.")
    max_body: Size = Field(ByteSize(16 * 1024**2), description="The largest body of a request.")
    max_upload: Size = Field(ByteSize(1024**3), description="The largest file that is uploaded.")
    max_unpacked: Size = Field(ByteSize(8 * 1024**3), description="What an uploaded file may unpack to.")
    rate: float = Field(2000.0, gt=0, description="Requests a second of one caller.")
    at_once: int = Field(256, ge=1, description="Requests of one caller at the same time.")
    subscriptions: int = Field(16, ge=1, description="Live connections of one caller.")
    connections: int = Field(1000, ge=1, description="Open connections, of all callers together.")
    receive_timeout: float = Field(
        10.0, gt=0, description="Seconds in which the head of a request has to come, or a small body."
    )
    send_timeout: float = Field(30.0, gt=0, description="Seconds after which a client is given up that reads nothing.")
    page_rows: int = Field(10_000, ge=1, description="Rows of a page of JSON, if the request does not say how many.")
    most_rows: int = Field(100_000, ge=1, description="The most rows of a page of JSON.")
    input_rows: int = Field(
        10_000_000, ge=1, description="The most stored rows that a panel or a join over HTTP is made of, in memory."
    )
    answer_cache: Size = Field(
        ByteSize(64 * 1024**2), description="Memory for answers that are asked for again and again; 0 for none."
    )
    poll_seconds: float = Field(
        0.5, gt=0, le=60, description="Seconds after which what other processes did is looked for, for these clients."
    )
    exports: str | None = Field(
        None, description="The folder below which exports and backups that are asked for over HTTP are written."
    )

    def at(
        self, host: str | None, port: int | None, require_token: bool | None = None, processes: int | None = None
    ) -> ServerSettings:
        """Return the same settings at another address, where one is given."""
        given = {"host": host, "port": port, "require_token": require_token, "processes": processes}
        return self.model_copy(update={name: value for name, value in given.items() if value is not None})


class SqlSettings(BaseModel):
    """What an SQL query that is not trusted may use: one of ``ticklake sql`` or of the server."""

    model_config = ConfigDict(extra="forbid")

    memory: Size = Field(
        ByteSize(OF_QUERIES.memory),
        ge=LEAST_MEMORY,
        description="The address space of its process; half a GiB of it is taken before it begins.",
    )
    seconds: float = Field(OF_QUERIES.seconds, gt=0, description="When it has run so long, it is ended.")
    rows: int = Field(OF_QUERIES.rows, ge=1, description="Most rows of its answer; what is cut is said.")
    bytes: Size = Field(ByteSize(OF_QUERIES.bytes), ge=1024, description="Most bytes of its answer.")

    at_once: int = Field(2, ge=1, le=64, description="Queries that the server runs at the same time; others wait.")

    @property
    def limits(self) -> SqlLimits:
        """The same as a value."""
        return SqlLimits(**self.model_dump(exclude={"at_once"}))


class KnowledgeSettings(BaseModel):
    """From when on rows count as known that were not received live."""

    model_config = ConfigDict(extra="forbid")

    lag: dict[str, Lag] = Field(
        default_factory=dict,
        description="How long after they happened rows of a kind are known, like ohlcv = '2s'; at once, if not named.",
    )

    @property
    def lags(self) -> Lags:
        """The same as a value."""
        # On use, as it loads polars.
        from ticklake.core.knowledge import Lags

        return Lags.parse(self.lag)


class LogSettings(BaseModel):
    """What is logged, and where."""

    model_config = ConfigDict(extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level that is written.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="Lines of JSON, or text; auto is text on a terminal, else JSON."
    )
    file: str | None = Field(None, description="The file that is appended to, instead of standard error.")

    @property
    def is_wanted(self) -> bool:
        """Whether anything of it was set: commands that print what they do write no log unless it is asked for."""
        return bool(self.model_fields_set)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="TICKLAKE_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid"
    )

    lake: str = Field(
        "data",
        description="The lake's folder, or the URL of its catalog: sqlite:///folder; or the address of a server: http://host:8470.",
    )
    token: SecretStr | None = Field(None, description="What is sent to the server, if the lake is one that is served.")
    exchange_url: Address | None = Field(
        None, description="Reach every exchange at this address + /{exchange}: the simulated exchange."
    )
    state: str = Field(
        default_factory=lambda: f"{os.environ.get('XDG_STATE_HOME') or '~/.local/state'}/ticklake",
        description="This user's folder for what all processes share: turns at exchanges.",
    )
    keep: dict[str, int] = Field(
        default_factory=dict, description="Days that rows of a kind are kept for by cleanup; for ever, if not named."
    )
    min_free: MinFree = Field(
        ByteSize(256 * 1024**2),
        description="Collecting stops when less is free: a size like 1 GiB, or 2 %; 0 is never.",
    )
    cache_size: ByteSize = Field(
        ByteSize(CACHE_SIZE), description="Memory for parts of files that are read again and again; 0 for none."
    )
    archives: bool = Field(True, description="Take history from public dump sites first, where there are some.")
    exchanges: dict[str, ExchangeSettings] = Field(default_factory=dict, description="Settings of single exchanges.")
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="Alerts when something is wrong.")
    sources: dict[str, str] = Field(
        default_factory=dict, description="Which source serves an exchange, where several do, by its name."
    )
    jobs: JobSettings = Field(default_factory=JobSettings, description="How jobs are done.")
    knowledge: KnowledgeSettings = Field(
        default_factory=KnowledgeSettings, description="From when on rows count as known that were not received live."
    )
    live: LiveSettings = Field(default_factory=LiveSettings, description="How live rows are collected.")
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged, and where.")
    server: ServerSettings = Field(default_factory=ServerSettings, description="How the lake is served over HTTP.")
    retry: RetrySettings = Field(default_factory=RetrySettings, description="How failed calls are repeated.")
    sql: SqlSettings = Field(default_factory=SqlSettings, description="What an SQL query may use that is not trusted.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment before the file."""
        # Neither .env files nor folders of secrets are read.
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def exchange(self, name: str) -> ExchangeSettings:
        """Return the settings of one exchange; with ``exchange_url``, its addresses are those of the simulated exchange."""
        options = self.exchanges.get(name, ExchangeSettings())
        if options.url is not None or not self.exchange_url:
            return options
        base = self.exchange_url.rstrip("/")
        archive = options.archive_url or f"{base}/archive/{name}"
        return options.model_copy(update={"url": f"{base}/{name}", "archive_url": archive})


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises
    ------
    BadInput
        If a file or an environment variable holds an invalid value; the error names it.
    """
    # None is an option of the command line that was left out: it must not replace what the file says.
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise BadInput(f"setting {_first_problem(error)}: see docs/reference/settings.md") from error
    except SettingsError as error:
        raise BadInput(f"{_invalid_json(error)}: write it as JSON, see docs/reference/settings.md") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{Path(CONFIG_FILE).resolve()} is not TOML: {error}") from error
    except OSError as error:
        raise BadInput(
            f"{Path(CONFIG_FILE).resolve()} cannot be read ({error.strerror}): check its permissions"
        ) from error


def _invalid_json(error: SettingsError) -> str:
    """Return the name of the environment variable whose text is no JSON, and what is wrong with the text."""
    # pydantic-settings names the field in its message only, and the JSON error is the cause.
    field = str(error).partition('field "')[2].partition('"')[0]
    return f"setting {field or error}: {error.__cause__ or 'it cannot be read'}"


def load_wanted(path: str | Path = WANTED_FILE) -> Wanted:
    """Read the manifest: the file that declares what a lake shall collect; see docs/how-to/apply.md.

    Raises
    ------
    BadInput
        If it cannot be read or holds an invalid value: the error names the key and the value.
    """
    from ticklake.jobs.manifest import Wanted

    where = Path(path).resolve()
    try:
        return Wanted.model_validate(tomllib.loads(where.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise BadInput(f"{where}: {_first_problem(error)}: see docs/how-to/apply.md") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{where} is not TOML: {error}") from error
    except OSError as error:
        raise BadInput(f"{where} cannot be read ({error.strerror}): name the file that says what is wanted") from error


def setting_problems() -> list[str]:
    """Return all that is wrong with the settings, where :func:`load_settings` names the first of it."""
    try:
        Settings()
    except ValidationError as error:
        return list(map(_problem, error.errors()))
    except (SettingsError, ValueError, OSError):
        pass
    try:
        load_settings()
    except BadInput as error:
        return [str(error)]
    return []


def unknown_variables() -> list[str]:
    """Return the environment variables that look like settings and are none: nothing else would tell of them."""
    prefix = "TICKLAKE_"
    unknown: list[str] = []
    for name in sorted(os.environ):
        setting = name.removeprefix(prefix).partition("__")[0].lower()
        if name.startswith(prefix) and setting not in Settings.model_fields:
            unknown.append(name)
    return unknown


def _first_problem(error: ValidationError) -> str:
    """Return the key of the first invalid value, what is wrong with it, and the value unless it is secret."""
    return _problem(error.errors()[0])


def _problem(first: Any) -> str:
    key = ""
    for step in first["loc"]:
        if isinstance(step, int):
            key += f"[{step}]"
        else:
            key += f".{step}"
    words = first["msg"].removeprefix("Value error, ")
    if first["type"] in _PLAIN_WORDS:
        words = _PLAIN_WORDS[first["type"]].format(**first.get("ctx", {}))
    text = f"{key.lstrip('.')}: {words}"
    value = first["input"]
    # An @ stands before the host of an address: what stands before it may be a password.
    is_secret = not _SECRETS.isdisjoint(map(str, first["loc"])) or "@" in str(value)
    if is_secret or isinstance(value, dict):
        return text
    return f"{text} (it is {value!r})"
