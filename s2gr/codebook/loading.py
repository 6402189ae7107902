"""A trained codebook from its folder, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from s2gr.codebook.model import CONFIG, WEIGHTS, ResidualCodebook
from s2gr.codebook.rqkmeans import RQKMeans
from s2gr.codebook.rqvae import RQVAE
from s2gr.errors import UserError
from s2gr.params import Codebook
from s2gr.workspace import read_json


def build_codebook(input_dim: int, params: Codebook) -> ResidualCodebook:
    """An untrained codebook of the kind ``params.kind``, for aligned embeddings of width ``input_dim``."""
    return RQKMeans(input_dim, params) if params.kind == "rqkmeans" else RQVAE(input_dim, params)


def load_codebook(folder: Path) -> ResidualCodebook:
    """Read what :meth:`ResidualCodebook.save` wrote: on the CPU, ready for use.

    Raises: UserError: if it is missing, damaged or of another version.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} holds no codebook: run the stage `codebook` first (`dvc repro`, or `s2gr run`)")
    try:
        config = read_json(folder / CONFIG)
        codebook = build_codebook(config.pop("input_dim"), Codebook.model_validate(config))
        codebook.load_state_dict(load_file(folder / WEIGHTS))
    except (ValidationError, SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder} holds a codebook that is damaged or of another version ({reason}); "
            "run the stage `codebook` again"
        ) from error
    return codebook.eval()
