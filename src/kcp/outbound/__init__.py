"""Every request that the server itself makes over HTTP: webhooks, OpenID Connect discovery, signing keys.

No other module of the server opens a connection to another HTTP server. So what such requests must never do has one place:

- Redirects are never followed: they would carry credentials, or a request from inside the network, to where they point.
- A host name is resolved once, and the address that is connected to is the one that is checked (`addresses`).
- Answers have a limit on their size, before and after decompression (`bodies`), and every request has a time limit.
- Connections are pooled per destination with a bound. A destination has its own credentials; none are shared or forwarded.
- No error, log line or metric contains a body, a credential, or the path or query of a URL.

The HTTP client library is imported at the first use: a server that makes no such request does not load it.
"""
