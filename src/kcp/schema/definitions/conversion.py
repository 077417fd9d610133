"""Validation of a definition's conversion strategy: None or Webhook."""

import base64
import binascii
from typing import Any, Final
from urllib.parse import urlsplit

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.schema.raw_schemas import schema, strings, text

_ACCEPTED_REVIEWS: Final = ("v1", "v1beta1")
_URL_FORM: Final = "; desired format: https://host[/path]"


def conversion_errors(
    conversion: dict[str, Any] | None, path: str, *, known_review: bool = True, any_bundle: bool = True
) -> list[FieldError]:
    """Validate ``spec.conversion``.

    ``known_review`` requires a supported ConversionReview version; ``any_bundle`` accepts a CA bundle that cannot be parsed.
    """
    if conversion is None:
        return []
    strategy = text(conversion, "strategy")
    webhook = schema(conversion, "webhook") or {}
    client = schema(webhook, "clientConfig")
    reviews = strings(webhook, "conversionReviewVersions")
    found = []
    if not strategy:
        found.append(field_errors.required(f"{path}.strategy"))
    elif strategy not in ("None", "Webhook"):
        found.append(field_errors.not_supported(f"{path}.strategy", strategy, ["None", "Webhook"]))
    if strategy == "Webhook":
        found += webhook_client_errors(client, f"{path}.webhookClientConfig", any_bundle=any_bundle)
        found += _review_errors(reviews, f"{path}.conversionReviewVersions", known=known_review)
        return found
    why = "should not be set when strategy is not set to Webhook"
    if client is not None:
        found.append(field_errors.forbidden(f"{path}.webhookClientConfig", why))
    if reviews:
        found.append(field_errors.forbidden(f"{path}.conversionReviewVersions", why))
    return found


def has_known_review(conversion: dict[str, Any] | None) -> bool:
    """Whether a conversion lists a supported ConversionReview version, or none at all."""
    reviews = strings(schema(conversion or {}, "webhook") or {}, "conversionReviewVersions")
    return not reviews or any(review in _ACCEPTED_REVIEWS for review in reviews)


def ca_bundle_is_readable(conversion: dict[str, Any] | None) -> bool:
    """Whether the webhook's CA bundle, if any, contains a PEM certificate."""
    client = schema(schema(conversion or {}, "webhook") or {}, "clientConfig") or {}
    return not client.get("caBundle") or _is_certificate(client["caBundle"])


def _is_certificate(bundle: Any) -> bool:
    try:
        decoded = base64.b64decode(bundle, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    return b"-----BEGIN CERTIFICATE-----" in decoded


def webhook_client_errors(client: dict[str, Any] | None, path: str, *, any_bundle: bool) -> list[FieldError]:
    """Validate the client configuration of a conversion or admission webhook."""
    if client is None:
        return [field_errors.required(path, "required when strategy is set to Webhook")]
    service = schema(client, "service")
    url = client.get("url")
    found = []
    if (url is None) == (service is None):
        found.append(field_errors.required(path, "exactly one of url or service is required"))
    elif service is not None:
        found += _service_errors(service, f"{path}.service")
    else:
        found += _url_errors(str(url), f"{path}.url")
    if client.get("caBundle") and not any_bundle and not _is_certificate(client["caBundle"]):
        why = "unable to load root certificates: unable to parse bytes as PEM block"
        found.append(field_errors.invalid(f"{path}.caBundle", client["caBundle"], why))
    return found


def _url_errors(url: str, path: str) -> list[FieldError]:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as problem:
        return [field_errors.required(path, f"url must be a valid URL: {problem}{_URL_FORM}")]
    found = []
    if parts.scheme != "https":
        found.append(field_errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORM}"))
    if not host:
        found.append(field_errors.invalid(path, host, f"host must be specified{_URL_FORM}"))
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        found.append(field_errors.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(field_errors.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(field_errors.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def _service_errors(service: dict[str, Any], path: str) -> list[FieldError]:
    found = [field_errors.required(f"{path}.{field}") for field in ("name", "namespace") if not text(service, field)]
    port = service.get("port", 443)
    if type(port) is not int or not 1 <= port <= 65535:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        found.append(field_errors.invalid(f"{path}.port", port, why))
    url_path = text(service, "path")
    return found + (_path_errors(url_path, f"{path}.path") if url_path not in ("", "/") else [])


def _path_errors(url_path: str, path: str) -> list[FieldError]:
    if url_path == "//":
        return [field_errors.invalid(path, url_path, "segment[0] may not be empty")]
    found = []
    if not url_path.startswith("/"):
        found.append(field_errors.invalid(path, url_path, "must start with a '/'"))
    for index, step in enumerate(url_path[1:].removesuffix("/").split("/")):
        problems = names.is_dns1123_subdomain(step) if step else []
        if not step:
            found.append(field_errors.invalid(path, url_path, f"segment[{index}] may not be empty"))
        found += [field_errors.invalid(path, url_path, f"segment[{index}]: {problem}") for problem in problems]
    return found


def _review_errors(reviews: list[str], path: str, *, known: bool) -> list[FieldError]:
    if not reviews:
        return [field_errors.required(path)]
    found = []
    seen: set[str] = set()
    for index, review in enumerate(reviews):
        if review in seen:
            found.append(field_errors.invalid(f"{path}[{index}]", review, "duplicate version"))
            continue
        seen.add(review)
        found += [field_errors.invalid(f"{path}[{index}]", review, why) for why in names.is_dns1035_label(review)]
    if known and not any(review in _ACCEPTED_REVIEWS for review in reviews):
        why = f"must include at least one of {', '.join(_ACCEPTED_REVIEWS)}"
        found.append(field_errors.invalid(path, reviews, why))
    return found
