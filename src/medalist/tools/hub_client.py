"""How the Hugging Face Hub's client is asked: its errors as one line each, and trouble in passing tried again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from .progress import console
from .retrying import named_error, retrying

WAITS = (1, 3, 9)
"""Seconds before each new try of a request that the client itself does not repeat."""
_T = TypeVar("_T")


@contextmanager
def hub_errors(repo: str, *, kind: str = "model", revision: str | None = None, unfinished: str = "") -> Iterator[None]:
    """The Hub client's errors as one line each.

    Args:
        repo: what is asked for.
        kind: "model" or "dataset".
        revision: of it.
        unfinished: what a broken connection means for the user.

    Raises:
        ValueError: the user can mend it: log in, another name, another revision.
        OSError: the Hub cannot be reached or has trouble.
    """
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo}"
    try:
        yield
    except LocalTokenNotFoundError:
        raise ValueError("No token for the Hub: run `hf auth login`, or set HF_TOKEN.") from None
    except GatedRepoError as error:
        if error.response.status_code == 401:
            problem = f"{repo} is gated: accept its licence on its Hub page, {page}, then run `hf auth login`."
        else:
            problem = (
                f"{repo} is gated, and the account that you are logged in with has no access: accept its licence on its Hub "
                f"page, {page}, and wait until it is granted. A fine-grained token must also allow gated repositories."
            )
        raise ValueError(problem) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"{repo} is no {kind} on the Hub, or is private: check the name, or run `hf auth login`."
        ) from None
    except RevisionNotFoundError:
        raise ValueError(
            f'{repo} has no revision "{revision}" on the Hub: its branches, tags and commits are at {page}/commits/main.'
        ) from None
    except OfflineModeIsEnabled:
        raise OSError(f"{repo}: the Hub is not asked while HF_HUB_OFFLINE is set.") from None
    except HfHubHTTPError as error:
        raise _refused(repo, error) from None
    except LocalEntryNotFoundError as error:
        raise _broken(repo, error.__cause__ or error, unfinished) from None
    except httpx2.HTTPError as error:
        raise _broken(repo, error, unfinished) from None
    except json.JSONDecodeError:
        raise OSError(f"{repo}: what answers is not the Hub; is HF_ENDPOINT right?") from None
    except RuntimeError as error:  # so the client wraps what went wrong with one file
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _refused(repo, cause) from None
        if isinstance(cause, httpx2.HTTPError):
            raise _broken(repo, cause, unfinished) from None
        raise


def _refused(repo: str, error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    said = f" ({' '.join(error.server_message.split())})" if error.server_message else ""
    if status == 401:
        return ValueError(f"The Hub does not take the token: it has expired or was revoked. Run `hf auth login`{said}.")
    if status == 403:
        return ValueError(
            f"The token may not write to {repo}{said}: take a name of your own, or a token with write permission (`hf auth login`)."
        )
    if status in (409, 412):
        return ValueError(f"{repo} was changed by someone else meanwhile: look at it, then run the same command again.")
    if status in (408, 429) or status >= 500:
        return OSError(f"{repo}: the Hub answers {status}{said}: try again later.")
    return OSError(f"{repo}: the Hub answers {status}{said}.")


def _broken(repo: str, error: BaseException, unfinished: str) -> OSError:
    reason = named_error(error)
    return OSError(f"{repo}: the connection to the Hub broke or was never made ({reason}). {unfinished}".rstrip())


def persistently(ask: Callable[[], _T]) -> _T:
    """What `ask` returns, asked again after a broken connection or a server's error. It must be harmless to repeat."""
    return retrying(ask, waits=WAITS, in_passing=_in_passing)


def _in_passing(error: Exception) -> str | None:
    """What the trouble is, if another try may do without it."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"the Hub answers {status}" if status in (408, 429) or status >= 500 else None
    return type(error).__name__ if isinstance(error, httpx2.TransportError | json.JSONDecodeError) else None


@contextmanager
def quiet_client() -> Iterator[None]:
    """Without the client's own remarks, and without its bars where the output is a file."""
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
