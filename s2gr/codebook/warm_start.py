"""Retraining that starts from the codebook of last time, so that semantic IDs move no more than they must."""

from __future__ import annotations

from pathlib import Path

from s2gr.codebook.loading import load_codebook
from s2gr.codebook.model import WEIGHTS, ResidualCodebook
from s2gr.errors import UserError
from s2gr.files import file_hash
from s2gr.params import Codebook

# What decides the shape of the weights; k-means has no network.
_SHAPE = {
    "coba": ("levels", "codes", "latent_dim", "hidden"),
    "rqvae": ("levels", "codes", "latent_dim", "hidden"),
    "rqkmeans": ("levels", "codes"),
}


def start_from(folder: Path, model: ResidualCodebook) -> str:
    """Give ``model`` the weights of the codebook in ``folder``, its mean and scale included; their SHA-256.

    Raises: UserError: there is none, it is damaged, or it is of another kind or shape.
    """
    previous = load_codebook(folder)
    expected, found = _described(model.input_dim, model.params), _described(previous.input_dim, previous.params)
    different = [name for name in expected if expected[name] != found.get(name)]
    if different:
        told = "; ".join(f"{name}: expected {expected[name]}, found {found.get(name)}" for name in different)
        raise UserError(
            f"codebook.warm_start: the codebook in {folder} does not fit ({told}); train with the same section "
            "`codebook` and embeddings of the same width, or set codebook.warm_start to null"
        )
    model.load_state_dict(previous.state_dict())
    return file_hash(folder / WEIGHTS)


def _described(input_dim: int, params: Codebook) -> dict[str, object]:
    shape = {f"codebook.{name}": getattr(params, name) for name in ("kind", *_SHAPE[params.kind])}
    return {**shape, "width of the embeddings": input_dim}
