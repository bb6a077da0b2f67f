# noqa: A005  # within tests, not beside the standard library
