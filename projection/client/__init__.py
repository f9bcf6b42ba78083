"""Reading views from a node over HTTP, synchronously or with asyncio: the same calls, the same answers.

```python
from projection.client import Client

with Client("http://127.0.0.1:7070", tenant="north") as client:
    account = client.view("accounts", "A1")
    for found in client.iterate("accounts", filter="balance > 100", sort=["-balance"]):
        print(found.id, found.view["balance"])  # numbers are exact: int or Decimal
```
"""

from typing import TYPE_CHECKING

from projection import exports
from projection.client.answers import (
    Catalog,
    CatalogIndex,
    CatalogView,
    Change,
    Explanation,
    Found,
    Page,
    PastView,
    Readiness,
    Unused,
    View,
)
from projection.client.errors import (
    AccessRefusedError,
    AnswerUnreadableError,
    BusyError,
    ChangesOffError,
    ClientError,
    CursorGoneError,
    CursorInvalidError,
    FilterFailedError,
    HistoryGoneError,
    LimitExceededError,
    NotFreshError,
    QueryInvalidError,
    ServerFailedError,
    UnknownViewTypeError,
    UnreachableError,
    ViewMissingError,
)

if TYPE_CHECKING:
    from projection.client.async_client import AsyncClient
    from projection.client.client import Client

__all__ = [
    "AccessRefusedError",
    "AnswerUnreadableError",
    "AsyncClient",
    "BusyError",
    "Catalog",
    "CatalogIndex",
    "CatalogView",
    "Change",
    "ChangesOffError",
    "Client",
    "ClientError",
    "CursorGoneError",
    "CursorInvalidError",
    "Explanation",
    "FilterFailedError",
    "Found",
    "HistoryGoneError",
    "LimitExceededError",
    "NotFreshError",
    "Page",
    "PastView",
    "QueryInvalidError",
    "Readiness",
    "ServerFailedError",
    "UnknownViewTypeError",
    "UnreachableError",
    "Unused",
    "View",
    "ViewMissingError",
]

# These need httpx; what nodes answer, and their errors, can be read without.
_PLACES = {"AsyncClient": "projection.client.async_client", "Client": "projection.client.client"}
__getattr__ = exports.reader(__name__, _PLACES)
