"""Kubernetes' URL library, with the syntax of Go's net/url."""

import re
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.limits import count_parsing
from kcp.cel.values import Opaque

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_HOST: Final = re.compile(r"""[\x00-\x20\x7f"\\^`{|}%<>]""")
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*\Z")
_PORT: Final = re.compile(r"(:[0-9]*)?\Z")
_PATH_SAFE: Final = "/$&+,:;=@~!'()*[]"
_PATH_KEPT: Final = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@\[\]/%]*\Z")


class URL(Opaque):
    """A parsed URL."""

    __slots__ = ("fragment", "host", "opaque", "path", "query", "scheme", "user")
    cel_type = "kubernetes.URL"

    def __init__(
        self, scheme: str, opaque: str, user: str | None, host: str, path: str, query: str, fragment: str
    ) -> None:
        self.scheme = scheme
        self.opaque = opaque
        self.user = user
        self.host = host
        self.path = path
        self.query = query
        self.fragment = fragment

    def _parts(self) -> tuple[str | None, ...]:
        return (self.scheme, self.opaque, self.user, self.host, self.path, self.query, self.fragment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and other._parts() == self._parts()

    def __hash__(self) -> int:
        return hash(self._parts())


def check_request_uri(text: str) -> None:
    """Check an absolute URI or absolute path, as Go's url.ParseRequestURI. Raises EvaluationError."""
    _parse(text, text, "", request=True)


def _parse(text: str, shown: str, fragment: str, *, request: bool) -> URL:
    def bad(reason: str) -> EvaluationError:
        return EvaluationError(f'parse "{shown}": {reason}')

    if _CONTROL.search(text):
        raise bad("net/url: invalid control character in URL")
    if not text and request:
        raise bad("empty url")
    match = _SCHEME.match(text)
    if match is None and text[:1] == ":":
        raise bad("missing protocol scheme")
    scheme = match[1].lower() if match else ""
    rest, _, query = text[match.end() if match else 0 :].partition("?")
    if not rest.startswith("/") and text != "*":
        if scheme:
            return URL(scheme, rest, None, "", "", query, fragment)
        if request:
            raise bad("invalid URI for request")
        if ":" in rest.split("/", 1)[0]:
            raise bad("first path segment in URL cannot contain colon")
    user, host = None, ""
    if rest.startswith("//") and (scheme or (not request and not rest.startswith("///"))):
        authority, slash, rest = rest[2:].partition("/")
        rest = slash + rest
        user, host = _authority(authority, shown)
    escape = _BAD_ESCAPE.search(rest)
    if escape:
        raise bad(f'invalid URL escape "{rest[escape.start() : escape.start() + 3]}"')
    return URL(scheme, "", user, host, rest, query, fragment)


def _authority(text: str, shown: str) -> tuple[str | None, str]:
    user, at, host = text.rpartition("@")
    if at and (not _USER.match(user) or _BAD_ESCAPE.search(user)):
        raise EvaluationError(f'parse "{shown}": net/url: invalid userinfo')
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0:
            raise EvaluationError(f"parse \"{shown}\": missing ']' in host")
        port = host[end + 1 :]
        name = host[1:end].replace("%25", "")
    else:
        colon = host.find(":")
        name, port = (host[:colon], host[colon:]) if colon >= 0 else (host, "")
    if not _PORT.match(port):
        raise EvaluationError(f'parse "{shown}": invalid port "{port}" after host')
    bad = _BAD_HOST.search(re.sub(r"%[89A-Fa-f][0-9A-Fa-f]", "", name))
    if bad:
        raise EvaluationError(f'parse "{shown}": invalid character "{bad[0]}" in host name')
    return (user if at else None), unquote(host)


def _url(text: str) -> URL:
    failure = "URL parse error during conversion from string: "
    try:
        check_request_uri(text)
        before, _, fragment = text.partition("#")
        return _parse(before, text, fragment, request=False)
    except EvaluationError as error:
        raise EvaluationError(f"{failure}{error}") from None


def _is_url(text: str) -> bool:
    count_parsing(text)
    try:
        check_request_uri(text)
    except EvaluationError:
        return False
    return True


def _scheme(url: URL) -> str:
    return url.scheme


def _host(url: URL) -> str:
    return url.host


def _split_host(url: URL) -> tuple[str, str]:
    host, colon, port = url.host.rpartition(":")
    if not colon or url.host.endswith("]") or not (port.isdigit() or not port):
        host, port = url.host, ""
    return (host[1:-1] if host.startswith("[") and host.endswith("]") else host), port


def _hostname(url: URL) -> str:
    return _split_host(url)[0]


def _port(url: URL) -> str:
    return _split_host(url)[1]


def _escaped_path(url: URL) -> str:
    return url.path if _PATH_KEPT.match(url.path) else quote(unquote(url.path), safe=_PATH_SAFE)


def _query(url: URL) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        # What Go's Query() leaves out: empty pairs, semicolons, broken escapes.
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition("=")
        result.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return result


ROWS: Final[list[Row]] = [
    ("string_to_url", "url(string): url", _url, cost.text),
    ("is_url_string", "isURL(string): bool", _is_url),
    ("url_get_scheme", "url.getScheme(): string", _scheme),
    ("url_get_host", "url.getHost(): string", _host),
    ("url_get_hostname", "url.getHostname(): string", _hostname),
    ("url_get_port", "url.getPort(): string", _port),
    ("url_get_escaped_path", "url.getEscapedPath(): string", _escaped_path),
    ("url_get_query", "url.getQuery(): map<string, list<string>>", _query),
]
