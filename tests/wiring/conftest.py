from tests.logs import restored_logging

__all__ = ["restored_logging"]
