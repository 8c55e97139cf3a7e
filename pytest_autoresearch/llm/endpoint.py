"""Where a model is asked: which server, which model, whose key."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import ProviderName

_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of a kind of server: where it usually is, and which variable holds its key (None: no key)."""

    base_url: str
    key_env: str | None


PROVIDERS: Mapping[ProviderName, Provider] = {
    "ollama": Provider("http://localhost:11434/v1", None),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server; `key_env` names the variable that holds the key, None if the server wants none."""

    provider: ProviderName
    base_url: str
    model: str
    key_env: str | None

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, as far as its address says."""
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def is_openais(self) -> bool:
        """Whether the server is OpenAI's own."""
        return (urlsplit(self.base_url).hostname or "").endswith("openai.com")

    @property
    def address(self) -> str:
        """The URL without what it may hold of a secret: what is shown and put on record."""
        parts = urlsplit(self.base_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def place(self) -> str:
        """The server in words."""
        return f"{self.provider} at {self.address}"

    @property
    def native_url(self) -> str:
        """Where Ollama's own interface is, beside the one that is compatible."""
        return self.base_url.rstrip("/").removesuffix("/v1")

    def key(self, environment: Mapping[str, str] = os.environ) -> str:
        """The key from the environment; UserError if there is none, or if it cannot be one. It is never shown."""
        if self.key_env is None:
            return _NO_KEY
        key = environment.get(self.key_env, "").strip()
        if not key:
            raise UserError(f"{self.key_env} is not set, and {self.place} wants a key: export {self.key_env}=...")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise UserError(f"{self.key_env} holds no key: it has a space, a line break or a special character in it")
        return key


def make_endpoint(provider: ProviderName, model: str, base_url: str | None, key_env: str | None) -> Endpoint:
    """The endpoint with the provider's defaults.

    Ollama's address is understood without the `/v1`, as v1.1 understood it.
    """
    known = PROVIDERS[provider]
    url = (base_url or known.base_url).strip().rstrip("/")
    parts = urlsplit(url)
    if provider == "ollama" and parts.path in ("", "/"):
        url = urlunsplit((parts.scheme, parts.netloc, "/v1", parts.query, ""))
    return Endpoint(provider, url, model, key_env or known.key_env)
