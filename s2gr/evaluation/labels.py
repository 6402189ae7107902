"""What the page and the result tables call systems, filters and metrics."""

from __future__ import annotations

SYSTEMS = {
    "s2gr": "S²GR",
    "s2gr_interest": "S²GR, interest vector alone",
    "s2gr_beam": "S²GR, SID beam alone",
    "walk": "graph walk",
    "walk_undirected": "graph walk, undirected ±3",
    "item_knn": "item-kNN",
    "popularity": "popularity",
}
FILTER_NAMES = {"": "Whole catalogue", "_seen_filtered": "Without items already seen"}
_METRICS = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}


def label(system: str) -> str:
    """Of a system's name in ``reports/evaluation.json``, without its filter."""
    return SYSTEMS.get(system, system.replace("s2gr_width_", "S²GR, beam "))


def metric_label(name: str) -> str:
    """``ndcg@10`` → ``NDCG@10``."""
    kind, k = name.split("@")
    return f"{_METRICS[kind]}@{k}"
