"""The behaviour of the built-in types that their declarations cannot say, by API group."""
