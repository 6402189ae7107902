"""S²GR: a generative recommender that reasons step by step in latent space over semantic IDs.

from s2gr import Recommender

recommender = Recommender.load("models/published/current")
for item in recommender.recommend(["50", "181", "174"], k=10):
    print(item.item_id, item.title, item.sid, item.score)
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Recommender", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: it takes torch with it, which most commands and stages do without.
    if name == "Recommender":
        return importlib.import_module("s2gr.reasoner.recommender").Recommender
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
