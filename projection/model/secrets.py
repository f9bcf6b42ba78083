"""What must never be shown: the secrets of settings, and whatever looks like one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "***"
_LEAST = 6  # characters: a shorter secret is a part of common words
_LOOKS_SECRET = (
    r"(?<=://)[^/\s@\"']+(?=@)",  # in a URL: user and password
    r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}",  # in a header
    r"(?<=[Bb]asic )[A-Za-z0-9+/=]{8,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",  # a JSON Web Token
    r"\bS[ACNOUX][A-Z2-7]{56}\b",  # a seed of NATS' keys
)


def secrets_in(settings: BaseModel) -> Iterator[str]:
    """All secrets that settings hold."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets_in(value)


class Redaction:
    """Hides secrets in texts, also where a text has them as JSON, Python or a URL writes them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Hide these secrets, and what looks like one."""
        plain = [one for one in secrets if len(one) >= _LEAST]
        written = {form for one in plain for form in _written(one)}
        known = written | {json.dumps(form)[1:-1] for form in written}
        patterns = (*(re.escape(one) for one in sorted(known, key=len, reverse=True)), *_LOOKS_SECRET)
        self._secret = re.compile("|".join(patterns))

    def __call__(self, text: str) -> str:
        """The text without them."""
        return self._secret.sub(HIDDEN, text)


def _written(secret: str) -> tuple[str, ...]:
    """A secret as it may stand in a text: plainly, in a URL, and as Python shows it and its bytes."""
    data = secret.encode(errors="surrogatepass")  # a variable of the environment may be no UTF-8
    return secret, quote(data, safe=""), repr(secret)[1:-1], repr(data)[2:-1]
