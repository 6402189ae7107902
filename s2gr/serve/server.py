"""``s2gr serve``: the service in one process, until it is told to stop."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.serve.api import application
from s2gr.serve.connection import connection
from s2gr.serve.served import Lists, Shelf

# One or more keys, parted by blanks, so that an old and a new one may hold at once.
KEYS = "S2GR_API_KEY"
# Seconds that requests have to be answered when it is told to stop.
_GRACE = 10
# Seconds that a connection without a request is kept.
_KEPT = 75
# Seconds of a thread's turn.
_TURN = 0.0005


def serve(
    published: Path, params: Params, lists: Lists, host: str, port: int, ready: Callable[[str, Shelf], None]
) -> None:
    """Serve what is published there.

    Args:
        port: 0 takes a free one.
        ready: called with the address, once it answers there.

    Raises: UserError: nothing is published, it is damaged, a list can't be read, the address is empty or taken, or the
        variable for the keys holds none.
    """
    keys = _keys()
    shelf = Shelf(published, params, lists)
    listener = _listen(host, port)
    app = application(shelf, params.serve, keys)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=connection(params.serve.timeout),
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=_KEPT,
    )
    # What is loaded stays: the collector need not go through it again and again.
    gc.collect()
    gc.freeze()
    # The event loop and the decoder take turns at Python; each shall get its own soon.
    sys.setswitchinterval(_TURN)
    where, on = listener.getsockname()[:2]
    ready(f"http://{f'[{where}]' if ':' in where else where}:{on}", shelf)
    uvicorn.Server(config).run(sockets=[listener])


def _keys() -> list[str]:
    told = os.environ.get(KEYS)
    keys = (told or "").split()
    if told is not None and not keys:
        # Whoever sets it wants a key to be asked for.
        raise UserError(f"{KEYS} is set, but holds no key; give one or more, or unset it to serve without")
    return keys


def _listen(host: str, port: int) -> socket.socket:
    if not host:
        # The system takes it for every address of the machine.
        raise UserError("--host is empty; give the address to listen on, such as 127.0.0.1")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        told = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UserError(f"can't listen on {host}, port {port} ({told}); give another --host or --port") from None
