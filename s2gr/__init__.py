"""S²GR: a generative recommender that reasons step by step in latent space over semantic IDs."""

__version__ = "0.1.0"
