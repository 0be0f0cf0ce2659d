"""Connections to the server of a lake: the one door to httpx."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from ticklake.core.retry import RetryPolicy
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, BadResponse, CatalogBusy, ServerUnavailable, TicklakeError
from ticklake.interfaces.client.address import PREFIX, checked_token, is_loopback, server_url
from ticklake.interfaces.client.problems import error_of

__all__ = ["ARROW", "JSON", "OF_READS", "Answer", "Connection", "Parameters", "json_of"]

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
BLOCKS = "application/vnd.ticklake.frames"
OF_READS = RetryPolicy(attempts=4, first_wait=0.2, longest_wait=5.0)
"""Of reads: what changes something is sent once, as nobody knows whether it was done."""
_CONNECTIONS = 8
_LENGTH = 8
"""Bytes of the length of a block."""
_PATIENCE = 30.0
"""A server that asks for a longer wait in seconds is not waited for."""
_AGAIN = (ServerUnavailable, CatalogBusy)

Parameters = Mapping[str, str | None]
Answer = httpx.Response


class Connection:
    """A connection to one server, which any number of threads may use. Its token is in no text and in no error.

    Parameters
    ----------
    url
        Like ``http://127.0.0.1:8470``.
    timeout
        Seconds without a sign of life after which the server counts as unavailable.
    retry
        How often and how patiently reads are repeated.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = 60.0, retry: RetryPolicy = OF_READS
    ) -> None:
        self.url = server_url(url)
        self.timeout = _checked_timeout(timeout)
        self._token = checked_token(token)
        self._retry = retry
        self._client = httpx.Client(
            headers=self.headers(),
            timeout=httpx.Timeout(self.timeout, connect=min(self.timeout, 10.0)),
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            # A proxy that is set for the web does not reach this machine.
            trust_env=not is_loopback(self.url),
        )

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        headers = {"User-Agent": "ticklake"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def close(self) -> None:
        """Close the connections; requests that are under way fail."""
        self._client.close()

    def get(self, path: str, parameters: Parameters | None = None, accept: str = JSON) -> Answer:
        """Read something; it is tried again if the server cannot be reached.

        Raises
        ------
        TicklakeError
            What the server answers with, or :class:`ServerUnavailable`.
        """
        return self._repeated(lambda: self._send("GET", path, parameters, accept))

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        parameters: Parameters | None = None,
        *,
        accept: str = JSON,
        is_read: bool = False,
    ) -> Answer:
        """Send something: a body of bytes as they are, any other one as JSON. It is sent once, unless it only reads.

        Raises
        ------
        TicklakeError
            What the server answers with, or :class:`ServerUnavailable`.
        """

        def send() -> Answer:
            return self._send(method, path, parameters, accept, body)

        if is_read:
            return self._repeated(send)
        return send()

    def blocks(self, path: str, parameters: Parameters) -> Iterator[bytes]:
        """Yield the blocks of an answer as they come; each follows its length in 8 bytes, and a length of 0 ends them.

        Raises
        ------
        TicklakeError
            What the server answers with, or :class:`ServerUnavailable` if it breaks off.
        """
        request = self._request("GET", path, parameters, BLOCKS, None)
        with self._translated(), closing(self._client.send(request, stream=True)) as answer:
            if not answer.is_success:
                answer.read()
                raise self._error(answer)
            yield from _blocks(answer.iter_bytes())
        # Its end says that nothing is missing.

    def _repeated(self, send: Callable[[], Answer]) -> Answer:
        retrying = Retrying(
            retry=retry_if_exception(_may_help),
            stop=stop_after_attempt(self._retry.attempts),
            wait=self._wait,
            reraise=True,
        )
        return retrying(send)

    def _wait(self, state: RetryCallState) -> float:
        at_least = 0.0
        if state.outcome is not None:
            at_least = _asked_wait(state.outcome.exception())
        # Not for secrets: so that many clients do not return together.
        return self._retry.wait(state.attempt_number, random.random(), at_least) / SECOND  # noqa: S311

    def _send(self, method: str, path: str, parameters: Parameters | None, accept: str, body: Any = None) -> Answer:
        request = self._request(method, path, parameters, accept, body)
        with self._translated():
            answer = self._client.send(request)
        if not answer.is_success:
            raise self._error(answer)
        return answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the errors of httpx."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServerUnavailable(
                f"{self.url} did not answer within {self.timeout:g} s: ask for less, or connect with a longer timeout"
            ) from error
        except httpx.ConnectError as error:
            raise ServerUnavailable(
                f"no server answers at {self.url} ({_reason(error)}): is 'ticklake serve' running there?"
            ) from error
        except httpx.HTTPError as error:
            raise ServerUnavailable(f"the connection to {self.url} broke ({_reason(error)}): ask again") from error
        except RuntimeError as error:
            raise self._closed_or(error) from error

    def _request(self, method: str, path: str, parameters: Parameters | None, accept: str, body: Any) -> httpx.Request:
        sent: dict[str, Any] = {}
        headers = {"Accept": accept}
        if isinstance(body, bytes):
            sent["content"] = body
            headers["Content-Type"] = ARROW
        elif body is not None:
            sent["json"] = body
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        if accept != JSON:
            # It is compressed already, as far as that helps.
            headers["Accept-Encoding"] = "identity"
        address = f"{self.url}{PREFIX}{path}"
        return self._client.build_request(method, address, params=given, headers=headers, **sent)

    def _error(self, answer: Answer) -> TicklakeError:
        return error_of(answer.status_code, answer.content, answer.headers, self.url)

    def _closed_or(self, error: RuntimeError) -> Exception:
        if self._client.is_closed:
            return BadInput(f"this connection to {self.url} was closed: connect again")
        return error


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the blocks of a body that comes in pieces of any size."""
    waiting = bytearray()
    length: int | None = None
    for piece in pieces:
        waiting += piece
        while True:
            if length is None:
                if len(waiting) < _LENGTH:
                    break
                length = int.from_bytes(waiting[:_LENGTH], "little")
                del waiting[:_LENGTH]
            if length == 0:
                return
            if len(waiting) < length:
                break
            yield bytes(waiting[:length])
            del waiting[:length]
            length = None
    raise BadResponse("the server broke off in the middle of an answer: ask again")


def _may_help(error: BaseException) -> bool:
    """Whether the same request may succeed soon."""
    # The server may be at work on it still: asked again, it would do it twice.
    if isinstance(error.__cause__, httpx.ReadTimeout):
        return False
    return isinstance(error, _AGAIN) and _asked_wait(error) <= _PATIENCE


def _asked_wait(error: BaseException | None) -> float:
    """Return the seconds that the server asks to wait."""
    if isinstance(error, ServerUnavailable) and error.retry_after is not None:
        return error.retry_after
    return 0.0


def _reason(error: httpx.HTTPError) -> str:
    """Return in few words what went wrong, without the numbers of the system."""
    text = str(error).rpartition("] ")[2]
    return text or type(error).__name__


def _checked_timeout(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise BadInput(f"timeout={timeout!r} is no length of time: pass a number of seconds, like 60")
    return float(timeout)


def json_of(answer: Answer) -> Any:
    """Return an answer as values.

    Raises
    ------
    BadResponse
        If it is no JSON.
    """
    try:
        return answer.json()
    except ValueError as error:
        raise BadResponse(f"{answer.url.host} sent no JSON: is it a server of a lake?") from error
