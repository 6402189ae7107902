"""``params.yaml`` as pydantic models, one class per section; every constraint is checked here.

The defaults and ``params.yaml`` are the same (a test holds it), so an overlay from ``recipes/`` needs only what it
changes. Section = folder = stage = asset.
"""

from s2gr.params.loading import load_params
from s2gr.params.operation import Alerts, Drift, Serve
from s2gr.params.params import Params
from s2gr.params.stages import Codebook, Content, Cooccurrence, Evaluation, ItemColumns, Reasoner, Runtime, Source

__all__ = [
    "Alerts",
    "Codebook",
    "Content",
    "Cooccurrence",
    "Drift",
    "Evaluation",
    "ItemColumns",
    "Params",
    "Reasoner",
    "Runtime",
    "Serve",
    "Source",
    "load_params",
]
