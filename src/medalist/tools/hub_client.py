"""Calls to the Hugging Face Hub client: errors reported in one line each, and transient failures retried."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx2
from huggingface_hub import constants, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import _http as hub_http
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from .failures import megabytes
from .progress import console
from .retrying import named_error, retrying

WAITS = (1, 3, 9)
"""Seconds to wait before each retry of a request that the client does not retry itself."""
_ANOTHER = "the response did not come from the Hub; is HF_ENDPOINT correct?"
_PATIENCE = 120.0
"""Seconds without a byte received before giving up, where the client itself would wait forever."""
_MOST_ANSWERS, _MOST_SAID = 1000, 10**8
"""Limits on one exchange: API answers, and their bytes in total; a list of files comes in pages of 1,000."""
_ETAG = re.compile(r'(W/)?"?[\w:=+-][\w.:=+-]{0,199}"?')
"""A well-formed ETag. It names a file in the client's cache, and the client would accept any, even "../../x"."""
_T = TypeVar("_T")


class _NotTheHubError(OSError):
    """An answer that the Hub would never give."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{_ANOTHER} ({why})")


class _Guard:
    """Checks each answer before it is read, and refuses any that is endless, too large or would escape the cache."""

    def __init__(self, most: int | None) -> None:
        self._most, self._answers, self._said = most, 0, 0

    def ask(self, request: httpx2.Request) -> None:
        """Ask for uncompressed answers, since a few bytes could unpack to many, and set a timeout for each."""
        request.headers["Accept-Encoding"] = "identity"
        waits = request.extensions.get("timeout", {})
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {kind: waits.get(kind) or _PATIENCE for kind in kinds}

    def hear(self, response: httpx2.Response) -> None:
        headers = response.headers
        if headers.get("content-encoding", "identity") != "identity":
            raise _NotTheHubError("it is compressed, unasked")
        named = [headers[name] for name in ("etag", "x-linked-etag") if name in headers]
        if response.request.method == "HEAD" and not all(map(_ETAG.fullmatch, named)):
            raise _NotTheHubError("its ETag is malformed")
        said = response.request.url.path.startswith("/api/")
        if said:
            self._answers += 1
            if self._answers > _MOST_ANSWERS:
                raise _NotTheHubError(f"more than {_MOST_ANSWERS:,} answers")
        elif self._most is not None:
            for size in (headers.get("content-length", ""), headers.get("x-linked-size", "")):
                if size.isdecimal() and int(size) > self._most:
                    raise _NotTheHubError(f"a file of more than {megabytes(self._most)}")
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Bounded(response.stream, self._count if said else self._bound())

    def _count(self, size: int) -> None:
        self._said += size
        if self._said > _MOST_SAID:
            raise _NotTheHubError(f"more than {megabytes(_MOST_SAID)}")

    def _bound(self) -> Callable[[int], None]:
        """A function that counts the bytes of one file and refuses too many."""
        seen = 0

        def count(size: int) -> None:
            nonlocal seen
            seen += size
            if self._most is not None and seen > self._most:
                raise _NotTheHubError(f"a file of more than {megabytes(self._most)}")

        return count


class _Bounded(httpx2.SyncByteStream):
    """A response body whose bytes are counted as they arrive."""

    def __init__(self, inner: httpx2.SyncByteStream, count: Callable[[int], None]) -> None:
        self._inner, self._count = inner, count

    def __iter__(self) -> Iterator[bytes]:
        for part in self._inner:
            self._count(len(part))
            yield part

    def close(self) -> None:
        self._inner.close()


@contextmanager
def _guarded(most: int | None) -> Iterator[None]:
    """Check the answers to the Hub's client, keeping any HTTP client that the user may have configured for it."""
    guard, before = _Guard(most), hub_http._GLOBAL_CLIENT_FACTORY  # it has no public name

    def client() -> httpx2.Client:
        made = before()
        hooks = made.event_hooks
        made.event_hooks = {
            "request": [*hooks["request"], guard.ask],
            "response": [*hooks["response"], guard.hear],
        }
        return made

    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(before)


@contextmanager
def hub_errors(
    repo: str,
    *,
    kind: str = "model",
    revision: str | None = None,
    unfinished: str = "",
    most: int | None = None,
) -> Iterator[None]:
    """Turn the Hub client's errors into one-line messages, and refuse answers that the Hub would never give.

    Args:
        repo: the requested repository.
        kind: "model" or "dataset".
        revision: the requested revision of the repository.
        unfinished: what a broken connection means for the user.
        most: the most bytes that a file may have; None: any number.

    Raises:
        ValueError: the user can fix it by logging in or by choosing another name or revision.
        OSError: the Hub cannot be reached or fails.
    """
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo}"
    try:
        with _guarded(most):
            yield
    except _NotTheHubError as error:
        raise OSError(f"{repo}: {error}") from None
    except LocalTokenNotFoundError:
        raise ValueError("No Hub token found: run `hf auth login`, or set HF_TOKEN.") from None
    except GatedRepoError as error:
        if error.response.status_code == 401:
            problem = f"{repo} is gated: accept its licence on its Hub page, {page}, then run `hf auth login`."
        else:
            problem = (
                f"{repo} is gated, and your account does not have access: accept its licence on its Hub page, {page}, "
                "and wait until access is granted. A fine-grained token must also allow gated repositories."
            )
        raise ValueError(problem) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"{repo} does not exist as a {kind} on the Hub, or is private: check the name, or run `hf auth login`."
        ) from None
    except RevisionNotFoundError:
        raise ValueError(
            f'{repo} has no revision "{revision}" on the Hub: '
            f"see its branches, tags and commits at {page}/commits/main."
        ) from None
    except OfflineModeIsEnabled:
        raise OSError(f"{repo}: the Hub cannot be reached while HF_HUB_OFFLINE is set.") from None
    except HfHubHTTPError as error:
        raise _refused(repo, error) from None
    except LocalEntryNotFoundError as error:
        raise _broken(repo, error.__cause__ or error, unfinished) from None
    except httpx2.HTTPError as error:
        raise _broken(repo, error, unfinished) from None
    except json.JSONDecodeError:
        raise OSError(f"{repo}: {_ANOTHER}") from None
    except (LookupError, TypeError, AttributeError) as error:
        if not _is_of_the_client(error):
            raise
        raise OSError(f"{repo}: {_ANOTHER}") from None  # JSON, but not the Hub's
    except RuntimeError as error:  # the client wraps errors with a single file this way
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _refused(repo, cause) from None
        if isinstance(cause, httpx2.HTTPError):
            raise _broken(repo, cause, unfinished) from None
        raise


def _is_of_the_client(error: BaseException) -> bool:
    """Whether the error was raised in the Hub's client itself, on an answer that it did not expect."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals.get("__name__", "").startswith("huggingface_hub")


def _refused(repo: str, error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    said = f" ({' '.join(error.server_message.split())})" if error.server_message else ""
    if token := error.response.request.headers.get("authorization", "").rpartition(" ")[2]:
        said = said.replace(token, "…")  # a server may echo what it was sent
    if status == 401:
        return ValueError(f"The Hub rejected the token: it has expired or was revoked. Run `hf auth login`{said}.")
    if status == 403:
        return ValueError(
            f"The token does not have write access to {repo}{said}: choose a name under your own account, or log in "
            "with a token that has write permission (`hf auth login`)."
        )
    if status in (409, 412):
        return ValueError(f"Someone else changed {repo} in the meantime: check it, then run the same command again.")
    if status in (408, 429) or status >= 500:
        return OSError(f"{repo}: the Hub returned {status}{said}: try again later.")
    return OSError(f"{repo}: the Hub returned {status}{said}.")


def _broken(repo: str, error: BaseException, unfinished: str) -> OSError:
    reason = named_error(error)
    return OSError(f"{repo}: the connection to the Hub failed or was lost ({reason}). {unfinished}".rstrip())


def persistently(ask: Callable[[], _T]) -> _T:
    """Call `ask`, retrying after a lost connection or a server error, and return its result; it must be idempotent."""
    return retrying(ask, waits=WAITS, transient=_transient)


def _transient(error: Exception) -> str | None:
    """A short description of the error if a retry may succeed, else None."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"the Hub returned {status}" if status in (408, 429) or status >= 500 else None
    return type(error).__name__ if isinstance(error, httpx2.TransportError | json.JSONDecodeError) else None


@contextmanager
def quiet_client() -> Iterator[None]:
    """Silence the client's log messages, and its progress bars when the output is not a terminal."""
    level, bars = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    hub_logging.set_verbosity(logging.ERROR)
    if bars and not console.is_terminal:
        disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
        if bars:
            enable_progress_bars()
