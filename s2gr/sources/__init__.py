"""Where raw logs come from: MovieLens-100K, or your own Parquet, CSV or JSONL."""

from s2gr.sources.landing import Batch, Landing, Misfit, load, open_source

__all__ = ["Batch", "Landing", "Misfit", "load", "open_source"]
