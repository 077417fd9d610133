"""Rules that the strategies of several built-in types share."""
