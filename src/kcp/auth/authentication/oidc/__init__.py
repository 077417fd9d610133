"""Tokens of OpenID Connect issuers: configuration, signing keys, and the user of a token's claims.

Follows the Kubernetes page "Authenticating", section "OpenID Connect Tokens" (apiserver.config.k8s.io
``AuthenticationConfiguration``), and OpenID Connect Discovery 1.0.
"""
