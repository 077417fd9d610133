"""Moving a log's state between stores of any kind."""
