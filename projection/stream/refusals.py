"""Why a server does not do what it is asked: what its permissions refuse, and errors in words for people."""

from __future__ import annotations

import ssl
from collections import deque

_KEPT = 16  # refusals: a node asks for no more kinds of things
_VIOLATION = "permissions violation"  # what a server begins such an answer with
_NO_ANSWERS = f"{_VIOLATION} for subscription"
_OF_ACKNOWLEDGING = '"$js.ack.'


class Refusals:
    """What the server's permissions refused on one connection."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque(maxlen=_KEPT)

    def add(self, text: str) -> None:
        """Note what the server said; not of acknowledging, which is a display that nobody waits for."""
        if _OF_ACKNOWLEDGING not in text.lower():
            self._texts.append(text)

    def of(self, subject: str) -> str | None:
        """What was said where our words to a subject, or any answer, are kept from arriving."""
        for text in self._texts:
            lower = text.lower()
            if f'"{subject}"'.lower() in lower or _NO_ANSWERS in lower:
                return text
        return None

    def clear(self) -> None:
        """Forget all: the connection is another one."""
        self._texts.clear()


def is_refusal(text: str) -> bool:
    """Whether a server says by this that its permissions refuse something."""
    return _VIOLATION in text.lower()


def reason(error: BaseException | None) -> str:
    """What the matter is, in words for people."""
    match error:
        case None | TimeoutError():  # the library's own timeout is one too
            return "no answer"
        case ConnectionRefusedError():
            return "nothing listens there"
        case ConnectionResetError():  # it may come before the server's own word on the matter
            return "it broke the connection off, as servers do that refuse the credentials"
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or error})"
        case _ if "authorization violation" in str(error).lower():
            return "it refuses these credentials"
        case _:
            return str(error).removeprefix("nats: ").strip() or type(error).__name__
