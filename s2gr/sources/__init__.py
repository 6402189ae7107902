"""Where raw logs come from: MovieLens-100K, or your own Parquet, CSV or JSONL."""

from s2gr.sources.landing import Landing, open_source

__all__ = ["Landing", "open_source"]
