"""Content from a sentence-transformers model: a name on the Hugging Face hub or a local folder (extra ``[text]``)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from s2gr.console import progress
from s2gr.embeddings import Matrix, has_direction, unit_rows
from s2gr.errors import UserError
from s2gr.params import Runtime

_BATCH = 64
# Texts that are encoded between two steps of the progress bar; sentence-transformers sorts them by length.
_CHUNK = 512


def embed_sentences(texts: Sequence[str], model: str, runtime: Runtime) -> Matrix:
    """Float32 ``[items, dim]`` with unit rows.

    Raises: UserError: the extra is not installed, the model can't be loaded, or there is no such device.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UserError(
            "content.kind sentence-transformers needs the extra [text]: run `.venv/bin/pip install -e '.[text]'`"
        ) from error
    # Imported here, as it imports torch, which the other kinds of content do without.
    from s2gr.runtime import prepare_torch

    device = prepare_torch(runtime)
    try:
        encoder = SentenceTransformer(model, device=str(device))
    except Exception as error:  # the hub, safetensors and torch have a dozen exception types here
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"content.model: {model!r} can't be loaded ({reason}); give a local folder of a sentence-transformers "
            "model or a name that the hub knows and this machine can reach"
        ) from error
    chunks = []
    with progress("embedding items", len(texts)) as tracker:
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            vectors = encoder.encode(chunk, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
            chunks.append(np.asarray(vectors, dtype=np.float32))
            tracker.advance(len(chunk))
    embeddings = np.concatenate(chunks)
    finite = np.asarray(np.isfinite(embeddings).all(axis=1))
    usable = finite & has_direction(np.where(finite[:, None], embeddings, np.float32(0)))
    if not usable.all():
        raise UserError(f"content.model {model!r} gives no usable embedding for {texts[int(usable.argmin())][:100]!r}")
    return unit_rows(embeddings)
