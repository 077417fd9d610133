"""What every backend of the log promises, checked on each of them."""
