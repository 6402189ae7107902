"""Processes that rank: each holds the bundle that is served, and none waits for another's turn at Python.

They start after the service is up, which ranks in a thread of its own until the first of them has joined, and again if
none is left. A bundle is read when the first request for it comes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from s2gr.params import Params
from s2gr.reasoner.recommender import IntArray, Ranking, Recommender

# Bundles that a process holds: the one that is served, and the one before, which requests may still ask for.
_HELD = 2
_NICE = 5


class Lost(Exception):
    """The process is gone."""


class Decoder:
    """One of them.

    Args:
        folder: the bundle that is served now.
        params: for device and threads.
    """

    def __init__(self, folder: Path, params: Params) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # A daemon: it ends with the service; if that is killed, the pipe ends.
        self._process = context.Process(target=_work, args=(theirs, folder, params), daemon=True, name="decoder")
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Until it is ready. Raises: Lost."""
        self._received()

    def rank(
        self, folder: Path, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray]
    ) -> Ranking:
        """``Recommender.rank`` of the bundle in ``folder``.

        Raises: Lost; RuntimeError: it could not, and why.
        """
        try:
            self._pipe.send((folder, histories, lengths, k, beam, exclude))
        except OSError as error:
            raise Lost from error
        found = self._received()
        if not isinstance(found, Ranking):
            raise RuntimeError(found)
        return found

    def close(self) -> None:
        self._process.kill()
        self._pipe.close()

    def _received(self) -> object:
        try:
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Lost from error


def _work(pipe: Connection, folder: Path, params: Params) -> None:
    """Answer what comes through the pipe, until it ends."""
    # Ctrl-C is meant for the service, which ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Taking requests in, and answering them, goes before.
    os.nice(_NICE)
    held = {folder: Recommender.load(folder, params)}
    answer: object = "ready"
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(answer)
            folder, *asked = pipe.recv()
            try:
                if folder not in held:
                    held = dict([*held.items()][1 - _HELD :]) | {folder: Recommender.load(folder, params)}
                with torch.inference_mode():
                    answer = held[folder].rank(*asked)
            except Exception as error:
                answer = repr(error)
