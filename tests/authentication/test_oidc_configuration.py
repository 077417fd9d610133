"""Files of ``--authentication-config``: what is read, and the errors of what cannot be used, in kube-apiserver's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kcp.auth.authentication.oidc import configuration as files
from kcp.auth.authentication.oidc.expressions import uses_claim
from kcp.auth.certificates import new_authority
from kcp.schema.configuration_files import ConfigurationFileError
from tests.support.oidc_issuer import configuration_file

ISSUER = {"url": "https://issuer.example", "audiences": ["kcp"]}
USERNAME = {"username": {"claim": "sub", "prefix": ""}}


def authenticator(**fields: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "claimMappings": USERNAME, **fields}


def mapped(**mappings: Any) -> dict[str, Any]:
    return authenticator(claimMappings={**USERNAME, **mappings})


def issued(**fields: Any) -> dict[str, Any]:
    return authenticator(issuer={**ISSUER, **fields})


def refusal(*authenticators: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(ConfigurationFileError) as caught:
        files.read(
            json.dumps(configuration_file(*authenticators, **fields)).encode(), ["https://kubernetes.default.svc"]
        )
    return str(caught.value)


def test_a_complete_file_is_read() -> None:
    complete = configuration_file(
        {
            "issuer": {
                **ISSUER,
                "discoveryURL": "https://discovery.example/.well-known/openid-configuration",
                "certificateAuthority": new_authority("issuer").certificate.decode(),
                "audienceMatchPolicy": "MatchAny",
                "audiences": ["a", "b"],
            },
            "claimValidationRules": [
                {"claim": "hd", "requiredValue": "example.com"},
                {"expression": "claims.n > 1", "message": "small"},
            ],
            "claimMappings": {
                "username": {"expression": "claims.email_verified ? claims.email : ''"},
                "groups": {"claim": "groups", "prefix": "g:"},
                "uid": {"claim": "sub"},
                "extra": [{"key": "example.org/a", "valueExpression": "claims.a"}],
            },
            "userValidationRules": [{"expression": "user.groups.all(g, g != 'system:masters')"}],
        },
        anonymous={"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]},
    )
    read = files.read(yaml.safe_dump(complete).encode())
    (found,) = read.authenticators
    assert found.issuer.audiences == ("a", "b")
    assert found.groups == files.Mapping("groups", "g:")
    assert [rule.claim for rule in found.claim_rules] == ["hd", ""]
    assert read.anonymous == files.AnonymousRequests(True, frozenset({"/livez", "/readyz"}))


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_older_versions_are_read(version: str) -> None:
    document = {**configuration_file(authenticator()), "apiVersion": f"apiserver.config.k8s.io/{version}"}
    assert len(files.read(json.dumps(document).encode()).authenticators) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must be an object of kind AuthenticationConfiguration"),
        (b"a: [", "not a YAML document"),
        (b"kind: AuthenticationConfiguration\napiVersion: v1\n", "must have kind AuthenticationConfiguration"),
        (b"kind: X\napiVersion: apiserver.config.k8s.io/v1\n", "must have kind AuthenticationConfiguration"),
        (
            b"kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v1\njwt: []\njwt: []\n",
            'strict decoding error: duplicate field "jwt"',
        ),
    ],
)
def test_another_document_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ConfigurationFileError, match=words):
        files.read(content)


BAD_REGEX = "must be a domain-prefixed path"
EXTRA = "jwt[0].claimMappings.extra[0]"


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (authenticator(x=1), 'strict decoding error: unknown field "jwt[0].x"'),
        (issued(x=1, y=2), 'strict decoding error: unknown field "jwt[0].issuer.x", unknown field "jwt[0].issuer.y"'),
        (issued(audiences="kcp"), 'jwt[0].issuer.audiences: Invalid value: "string"'),
        ({"claimMappings": USERNAME}, "jwt[0].issuer.url: Required value"),
        (
            issued(url="http://issuer.example"),
            'jwt[0].issuer.url: Invalid value: "http://issuer.example": URL scheme must be https',
        ),
        (issued(url="https://u:p@issuer.example"), "URL must not contain a username or password"),
        (issued(url="https://issuer.example?a=b"), "URL must not contain a query"),
        (issued(url="https://issuer.example#a"), "URL must not contain a fragment"),
        (issued(url="https://issuer.example:x"), "jwt[0].issuer.url: Invalid value"),
        (
            issued(url="https://kubernetes.default.svc"),
            "URL must not overlap with disallowed issuers: [https://kubernetes.default.svc]",
        ),
        (
            issued(discoveryURL="https://issuer.example/"),
            'jwt[0].issuer.discoveryURL: Invalid value: "https://issuer.example/": discoveryURL must be different from URL',
        ),
        (issued(discoveryURL="http://a.example"), "jwt[0].issuer.discoveryURL: Invalid value"),
        (
            issued(audiences=[]),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (issued(audiences=["a", ""], audienceMatchPolicy="MatchAny"), "jwt[0].issuer.audiences[1]: Required value"),
        (
            issued(audiences=["a", "a"], audienceMatchPolicy="MatchAny"),
            'jwt[0].issuer.audiences[1]: Duplicate value: "a"',
        ),
        (issued(audiences=["a", "b"]), "audienceMatchPolicy must be MatchAny for multiple audiences"),
        (issued(audienceMatchPolicy="All"), "audienceMatchPolicy must be empty or MatchAny for single audience"),
        (issued(certificateAuthority="x"), 'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>"'),
        (issued(egressSelectorType="cluster"), "jwt[0].issuer.egressSelectorType: Forbidden"),
        (mapped(username={}), "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (
            mapped(username={"claim": "sub"}),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set",
        ),
        (
            mapped(username={"claim": "sub", "prefix": "", "expression": "claims.sub"}),
            "claim and expression can't both be set",
        ),
        (
            mapped(username={"expression": "claims.sub", "prefix": ""}),
            'jwt[0].claimMappings.username.prefix: Invalid value: "": may not be specified when expression is set',
        ),
        (
            mapped(username={"expression": "claims.sub +"}),
            'jwt[0].claimMappings.username.expression: Invalid value: "claims.sub +": compilation failed: ERROR: <input>:1:13',
        ),
        (mapped(username={"expression": "user.name"}), "undeclared reference to 'user'"),
        (
            mapped(username={"expression": "claims.email"}),
            "claims.email_verified must be used in claimMappings.username.expression",
        ),
        (mapped(groups={"claim": "g"}), "jwt[0].claimMappings.groups.prefix: Required value"),
        (
            mapped(uid={"claim": "a", "expression": "b"}),
            'jwt[0].claimMappings.uid: Invalid value: "": claim and expression can\'t both be set',
        ),
        (mapped(uid={"expression": "("}), "jwt[0].claimMappings.uid.expression: Invalid value"),
        (mapped(extra=[{"key": "", "valueExpression": "''"}]), f"{EXTRA}.key: Required value"),
        (mapped(extra=[{"key": "a", "valueExpression": "''"}]), BAD_REGEX),
        (mapped(extra=[{"key": "a_b.org/x", "valueExpression": "''"}]), "a lowercase RFC 1123 subdomain"),
        (mapped(extra=[{"key": "a.org/x y", "valueExpression": "''"}]), "Invalid path"),
        (
            mapped(extra=[{"key": "a.org/X", "valueExpression": "''"}]),
            f'{EXTRA}.key: Invalid value: "a.org/X": must be lowercase',
        ),
        (mapped(extra=[{"key": "x.k8s.io/a", "valueExpression": "''"}]), "reserved for Kubernetes use"),
        (mapped(extra=[{"key": "authentication.kcp.io/a", "valueExpression": "''"}]), "reserved for the server"),
        (mapped(extra=[{"key": "a.org/x"}]), f"{EXTRA}.valueExpression: Required value"),
        (mapped(extra=[{"key": "a.org/x", "valueExpression": "''"}] * 2), 'extra[1].key: Duplicate value: "a.org/x"'),
        (
            authenticator(claimValidationRules=[{}]),
            "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
        ),
        (
            authenticator(claimValidationRules=[{"claim": "a", "expression": "true"}]),
            "claim and expression can't both be set",
        ),
        (
            authenticator(claimValidationRules=[{"claim": "a", "message": "m"}]),
            'claimValidationRules[0].message: Invalid value: "m": may not be specified when claim is set',
        ),
        (
            authenticator(claimValidationRules=[{"expression": "true", "requiredValue": "m"}]),
            'claimValidationRules[0].requiredValue: Invalid value: "m": may not be specified when expression is set',
        ),
        (
            authenticator(claimValidationRules=[{"claim": "a"}] * 2),
            'claimValidationRules[1].claim: Duplicate value: "a"',
        ),
        (
            authenticator(claimValidationRules=[{"expression": "true"}] * 2),
            'claimValidationRules[1].expression: Duplicate value: "true"',
        ),
        (authenticator(claimValidationRules=[{"expression": "claims.a"}]), "must evaluate to bool"),
        (authenticator(userValidationRules=[{}]), "jwt[0].userValidationRules[0].expression: Required value"),
        (
            authenticator(userValidationRules=[{"expression": "true"}] * 2),
            'userValidationRules[1].expression: Duplicate value: "true"',
        ),
        (authenticator(userValidationRules=[{"expression": "user.username"}]), "must evaluate to bool"),
        (authenticator(userValidationRules=[{"expression": "user.nothing == ''"}]), "undefined field 'nothing'"),
    ],
)
def test_the_field_of_an_error_is_named(entry: dict[str, Any], error: str) -> None:
    assert error in refusal(entry)


def test_every_error_is_reported() -> None:
    text = refusal(issued(url="http://a.example"), mapped(username={}))
    assert "jwt[0].issuer.url" in text
    assert "jwt[1].claimMappings.username" in text


def test_issuers_and_discovery_urls_are_distinct() -> None:
    discovery = "https://discovery.example"
    text = refusal(issued(discoveryURL=discovery), issued(discoveryURL=discovery))
    assert 'jwt[1].issuer.url: Duplicate value: "https://issuer.example"' in text
    assert f'jwt[1].issuer.discoveryURL: Duplicate value: "{discovery}"' in text


def test_the_number_of_issuers_is_limited() -> None:
    entries = [issued(url=f"https://issuer{number}.example") for number in range(65)]
    assert refusal(*entries) == "jwt: Too many: 65: must have at most 64 items"


def test_conditions_need_anonymous_requests() -> None:
    text = refusal(anonymous={"enabled": False, "conditions": [{"path": "/livez"}]})
    assert "anonymous.conditions: Invalid value" in text
    assert "enabled should be set to true when conditions are defined" in text


@pytest.mark.parametrize(
    "where",
    [
        mapped(username={"expression": "claims.email_verified ? claims.email : claims.sub"}),
        mapped(
            username={"expression": "claims.email"},
            extra=[{"key": "a.org/x", "valueExpression": "string(claims.email_verified)"}],
        ),
        authenticator(
            claimMappings={"username": {"expression": "claims.email"}},
            claimValidationRules=[{"expression": "claims.?email_verified.orValue(true) == true"}],
        ),
    ],
)
def test_an_email_address_may_be_the_name_where_its_verification_is_looked_at(where: dict[str, Any]) -> None:
    files.read(json.dumps(configuration_file(where)).encode())


@pytest.mark.parametrize(
    ("expression", "uses"),
    [
        ("claims.email", True),
        ("claims.?email.orValue('')", True),
        ("[claims.sub].map(x, claims.email)", True),
        ("{'a': {'b': claims.email}}", True),
        ("claims.sub + claims.user.email", False),
        ("claims['email']", False),
        ("claims.email_verified", False),
    ],
)
def test_the_use_of_a_claim_is_found_in_an_expression(expression: str, uses: bool) -> None:
    assert uses_claim(expression, "email") is uses
