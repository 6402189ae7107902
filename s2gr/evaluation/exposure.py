"""What a system recommends beyond the target: how much of the catalogue, how popular, how evenly.

Accuracy alone rewards recommending what everybody buys. All figures are of the first k items of every list; popularity
is counted in the training events.

- *Coverage@K*: distinct items recommended / items of the catalogue.
- *Novelty@K*: mean self-information −log2 p(i) in bits, p(i) the item's share of the training events with one event
  added to every item (Zhou et al. 2010; without the addition an item that was never seen would be infinitely novel).
- *Average recommendation popularity* (ARP; Yin et al. 2012): mean number of training events of a recommended item.
- *Popularity percentile*: mean share of the catalogue that is less popular than a recommended item, equally popular
  items counting half; 0.5 is what items drawn at random have.
- *Gini of exposure*: 0 when all items are recommended equally often, 1 when one item gets everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from s2gr.metrics import gini

Lists = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Exposure:
    coverage: float
    novelty: float
    mean_popularity: float
    popularity_percentile: float
    gini: float


def exposure(lists: Lists, popularity: npt.NDArray[np.integer]) -> Exposure:
    """The figures of the top-k ``lists``.

    Args:
        lists: items ``[cases, k]``, −1 where a list is shorter.
        popularity: ``[items]``, the training events of each item of the catalogue.

    Raises: ValueError: if no list holds an item.
    """
    items = len(popularity)
    recommended = lists[lists >= 0]
    if not len(recommended):
        raise ValueError("no list holds an item")
    counts = np.bincount(recommended, minlength=items)
    share = counts / counts.sum()
    self_information = -np.log2((popularity + 1) / (popularity.sum() + items))
    percentile = (rankdata(popularity) - 0.5) / items
    return Exposure(
        coverage=float((counts > 0).mean()),
        novelty=float(share @ self_information),
        mean_popularity=float(share @ popularity),
        popularity_percentile=float(share @ percentile),
        gini=gini(counts),
    )
