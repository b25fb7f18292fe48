"""A token for another agent, by client credentials.

It is fetched when there is none, kept until shortly before it dies, and fetched once for
all threads that ask at the same time. Nothing but Python's own library is needed.
"""

import base64
import json
import threading
import time
from typing import Optional
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen


class AgentToken:
    """Tokens of the issuer at endpoint for resource, the other agent's identifier (RFC 8707)."""

    def __init__(self, endpoint: str, resource: str, client_id: str, secret_file: str, scope: str = ""):
        self._endpoint, self._client_id, self._secret_file = endpoint, client_id, secret_file
        self._form = {"grant_type": "client_credentials", "resource": resource}
        if scope:
            self._form["scope"] = scope
        self._lock = threading.Lock()
        self._token: Optional[str] = None
        self._renew = self._dies = 0.0  # by time.monotonic()

    def get(self) -> str:
        """A token that lives long enough for a request."""
        with self._lock:
            if self._token is None or time.monotonic() >= self._renew:
                self._fetch()
            return self._token

    def refused(self, token: str) -> None:
        """The other agent says that this token has expired: the next get fetches another."""
        with self._lock:
            if token == self._token:
                self._token = None

    def _fetch(self) -> None:
        asked = time.monotonic()  # a life counts from here, whatever the clocks say
        try:
            with urlopen(self._request(), timeout=5) as answer:
                said = json.load(answer)
        except OSError:  # also an HTTP status: 429, 503
            if self._token is not None and asked < self._dies:
                self._renew = min(asked + 2, self._dies)  # still good; ask again soon
                return
            raise
        life = said["expires_in"]
        self._token = said["access_token"]
        self._dies = asked + life
        self._renew = self._dies - min(30, life / 4)

    def _request(self) -> Request:
        with open(self._secret_file) as file:  # each time: the secret may be replaced
            secret = file.read().strip()
        # RFC 6749 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote(self._client_id, safe='')}:{quote(secret, safe='')}"
        basic = base64.b64encode(pair.encode()).decode()
        return Request(self._endpoint, urlencode(self._form).encode(), {"Authorization": "Basic " + basic})
