"""A process inside the network of a stack: its name server, and who asks there for a test outside.

    python compose_inside.py SERVICE…

Each service is at 127.0.0.1, the only address of that network; no other name is known. A line of standard input is a URL;
the line that answers is JSON: the status and the body, or 0 and why there is none.
"""

from __future__ import annotations

import json
import socket
import sys
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

_ADDRESS, _PORT = "127.0.0.1", 53
_IS_ANSWER = 0x8580  # a response, of who knows, recursion available
_NO_SUCH_NAME = 3
_TYPE_A = 1
_TIMEOUT_S = 60


def answer(query: bytes, names: set[str]) -> bytes:
    """The answer to a DNS query of one question (RFC 1035)."""
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    question, kind = query[12 : at + 5], int.from_bytes(query[at + 1 : at + 3])
    is_known = ".".join(labels).lower() in names
    record = b""
    if is_known and kind == _TYPE_A:
        begin = (0xC00C).to_bytes(2)  # the name of the question
        record = begin + bytes([0, 1, 0, 1, 0, 0, 0, 1, 0, 4]) + socket.inet_aton(_ADDRESS)
    flags = _IS_ANSWER | (0 if is_known else _NO_SUCH_NAME)
    counts = [1, int(bool(record)), 0, 0]
    return query[:2] + b"".join(number.to_bytes(2) for number in (flags, *counts)) + question + record


def serve_names(server: socket.socket, names: set[str]) -> None:
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query, names), client)


def fetched(url: str) -> tuple[int, str]:
    """The answer of a service; its name is looked up here, because this process has the settings of the machine."""
    to = urlsplit(url)
    address = to._replace(netloc=f"{_ADDRESS}:{to.port}").geturl()
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=_TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def main(names: set[str]) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((_ADDRESS, _PORT))
    Thread(target=serve_names, args=(server, names), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(fetched(line.strip())), flush=True)


if __name__ == "__main__":
    main(set(sys.argv[1:]))
