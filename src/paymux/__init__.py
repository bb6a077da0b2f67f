"""A webhook ingestion and normalization gateway for payments."""

__version__ = "0.1.0"
