"""OAuth 2.0 access tokens, bought with a client's id and secret. https://www.rfc-editor.org/rfc/rfc6749#section-4.4

One is bought at a time and kept until shortly before it ends. Neither it nor the secret is in an error, log or repr.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson
from yarl import URL

from paymux import __version__, answer_body
from paymux.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pydantic import SecretStr

LARGEST: Final = 65_536
EARLY: Final = 60.0  # seconds before its end in which a token isn't used any more

_OK: Final = 200
_REASONS: Final = {400: "denied", 401: "denied", 403: "denied", 429: "rate_limited"}
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


class AccessTokens:
    """`key` is `client id:client secret`."""

    def __init__(
        self,
        *,
        url: str,
        key: SecretStr,
        session: aiohttp.ClientSession,
        timeout: aiohttp.ClientTimeout,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._key = key
        self._session = session
        self._timeout = timeout
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._ends = 0.0

    async def get(self) -> str:
        """Raises ApiError(denied, rate_limited, unavailable, shape)."""
        async with self._lock:
            if self._clock() >= self._ends:
                self._keep(await self._bought())
            return self._token

    def forget(self) -> None:
        """It was refused: another one is bought next time."""
        self._ends = 0.0

    def _keep(self, answer: Any) -> None:
        token = answer.get("access_token") if isinstance(answer, dict) else None
        seconds = answer.get("expires_in") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or type(seconds) is not int:
            raise ApiError("the answer holds no access token", reason="shape")
        self._token, self._ends = token, self._clock() + max(seconds - EARLY, 0.0)

    async def _bought(self) -> Any:
        """The failure is raised outside of `except`: aiohttp's errors carry the request, with its key."""
        try:
            async with self._session.post(
                self._url,
                data=b"grant_type=client_credentials",
                headers=self._headers(),
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status == _OK:
                    return orjson.loads(await answer_body.whole(response, LARGEST) or b"")
                reason = _REASONS.get(response.status, "unavailable")
                failure = ApiError(f"HTTP {response.status} for an access token", reason=reason)
        except orjson.JSONDecodeError:
            failure = ApiError("the answer holds no access token", reason="shape")
        except TimeoutError:
            failure = ApiError(f"no access token within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = ApiError(f"no access token: {type(error).__name__}")
        raise failure

    def _headers(self) -> dict[str, str]:
        basic = base64.b64encode(self._key.get_secret_value().encode()).decode()
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": f"paymux/{__version__}",
        }
