# noqa: A005  # within tests, not beside the standard library
from tests.logs import restored_logging

__all__ = ["restored_logging"]
