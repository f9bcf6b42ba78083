"""Has a command run by the server of `warm_commands.py` and stands for it: signals are passed on, its status is ours.

A shell starts this for each command of a page; so it imports only what an interpreter has built in.
"""

import _signal as signal
import _socket as sockets
import marshal
import os
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
BYTES = 4  # of a number that is told


def ask(address, command, environment, folder, files, ignored=()):
    """Have a command run: the connection, on which its process id is told, and then its exit status."""
    connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    connection.connect(address)
    asked = marshal.dumps((list(command), dict(environment), folder, list(ignored)))
    asked = len(asked).to_bytes(BYTES, "little") + asked
    given = b"".join(file.to_bytes(BYTES, sys.byteorder) for file in files)
    sent = connection.sendmsg([asked], [(sockets.SOL_SOCKET, sockets.SCM_RIGHTS, given)])
    if rest := asked[sent:]:  # nothing may be sent to a server that has all and is done already
        connection.sendall(rest)
    return connection


def told(connection):
    """The next number that the server tells; None if it is gone."""
    number = connection.recv(BYTES, sockets.MSG_WAITALL)
    return int.from_bytes(number, "little", signed=True) if len(number) == BYTES else None


def pass_on(command, number):
    try:  # noqa: SIM105 - `contextlib` is not there
        os.kill(command, number)
    except ProcessLookupError:  # it has ended; its status is on the way
        pass


def main(address):
    ignored = [number for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN]
    connection = ask(address, sys.argv, os.environ, os.getcwd(), (0, 1, 2), ignored)  # noqa: PTH109 - `pathlib` is not there
    command = told(connection)
    for number in set(PASSED_ON) - set(ignored):
        signal.signal(number, lambda number, _: pass_on(command, number))
    status = told(connection)
    if status is not None and status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    os._exit(1 if status is None else status)
