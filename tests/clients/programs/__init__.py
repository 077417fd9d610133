"""What the tests run as a program in a Pod: the usual work with one client, whose result is one line of JSON on stdout."""
