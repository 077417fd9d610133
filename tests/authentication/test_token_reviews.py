"""Bearer tokens that a real webhook reviews: what it is asked, which answers count, and for how long."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.api.errors import StatusError
from kcp.auth.authentication.authenticator import Reviewed, resolved
from kcp.auth.authentication.token_reviews import ReviewedTokens
from kcp.auth.users import ALL_AUTHENTICATED, User
from kcp.logical_clusters import DEFAULT
from kcp.outbound.owner import Outbound
from kcp.outbound.webhooks import Backoff, WebhookClient
from tests.authentication.conftest import Clock
from tests.support.https_server import HTTPSServer, json_answer

JANE = {"username": "jane", "uid": "u1", "groups": ["devs"], "extra": {"example.org/team": ["a"]}}
SECRET = "a-token-that-nobody-may-see"


@dataclass
class Webhook:
    """A webhook that accepts the tokens in ``users``, and the bodies that it got."""

    folder: Path
    users: dict[str, Any] = field(default_factory=lambda: {SECRET: JANE})
    audiences: list[str] | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0
    answer: Callable[[dict[str, Any]], Any] | None = None
    delays: dict[str, float] = field(default_factory=dict)
    """Seconds before the answer for a token."""

    def __post_init__(self) -> None:
        self.server = HTTPSServer(self.folder, self._handle)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.text())
        self.bodies.append(review)
        await asyncio.sleep(self.delays.get(review["spec"]["token"], 0))
        if self.failures:
            self.failures -= 1
            return json_answer({"echo": review}, 500)
        if self.answer is not None:
            return json_answer(self.answer(review))
        user = self.users.get(review["spec"]["token"])
        status: dict[str, Any] = {"authenticated": user is not None}
        if user is None:
            status["error"] = "no such session"
        else:
            status["user"] = user
        if self.audiences is not None:
            status["audiences"] = self.audiences
        return json_answer({**review, "status": status})


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    made = Webhook(tmp_path / "webhook")
    with made.server:
        yield made


def tokens_of(webhook: Webhook, outbound: Outbound, **choices: Any) -> ReviewedTokens:
    path = webhook.server.kubeconfig("webhook.kubeconfig", "/authenticate")
    client = WebhookClient.from_kubeconfig(outbound, path, "--webhook", backoff=Backoff(attempts=3, first=0.001))
    return ReviewedTokens(client, **{"version": "v1", "lifetime": 120.0, **choices})


async def user_of(tokens: ReviewedTokens, token: str) -> User | None:
    return await resolved(tokens.authenticate_token(token.encode(), DEFAULT))


async def test_the_webhook_gets_a_review_and_names_the_user(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    user = await user_of(tokens, SECRET)
    assert user == User("jane", "u1", ("devs", ALL_AUTHENTICATED), {"example.org/team": ("a",)})
    (body,) = webhook.bodies
    assert (body["apiVersion"], body["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    assert body["spec"] == {"token": SECRET}
    assert webhook.server.requests == [("POST", "/authenticate")]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_the_version_is_that_of_the_flag(webhook: Webhook, outbound: Outbound, version: str) -> None:
    assert await user_of(tokens_of(webhook, outbound, version=version), SECRET) is not None
    assert webhook.bodies[0]["apiVersion"] == f"authentication.k8s.io/{version}"


async def test_success_and_failure_are_kept_for_a_while(webhook: Webhook, outbound: Outbound) -> None:
    clock = Clock()
    tokens = tokens_of(webhook, outbound, clock=clock)
    for _ in range(3):
        assert await user_of(tokens, SECRET) is not None
        assert await user_of(tokens, "wrong") is None
    assert len(webhook.bodies) == 2
    clock.now += 120
    webhook.users = {"wrong": JANE}
    assert await user_of(tokens, SECRET) is None
    assert await user_of(tokens, "wrong") is not None
    assert len(webhook.bodies) == 4


async def test_concurrent_requests_with_one_token_are_one_review(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    found = await asyncio.gather(*(user_of(tokens, SECRET) for _ in range(50)))
    assert {user.name for user in found if user is not None} == {"jane"}
    assert None not in found
    assert len(webhook.bodies) == 1


async def test_class_22_answers_in_any_order_go_to_the_requests_that_they_are_for(
    webhook: Webhook, outbound: Outbound
) -> None:
    """The answers come in the opposite order, over connections that are shared."""
    numbers = range(20)
    webhook.users = {f"token-{number}": {**JANE, "username": f"user-{number}"} for number in numbers}
    webhook.delays = {f"token-{number}": (20 - number) / 100 for number in numbers}
    tokens = tokens_of(webhook, outbound)
    found = await asyncio.gather(*(user_of(tokens, f"token-{number}") for number in numbers))
    assert [user.name for user in found if user is not None] == [f"user-{number}" for number in numbers]
    again = [await user_of(tokens, f"token-{number}") for number in numbers]
    assert again == found


async def test_class_22_users_that_requests_share_cannot_be_changed(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    user = await user_of(tokens, SECRET)
    assert user is not None
    assert user is await user_of(tokens, SECRET)
    with pytest.raises(TypeError):
        user.extra["example.org/team"] = ("b",)  # type: ignore[index]
    with pytest.raises(AttributeError):
        user.groups = ()  # type: ignore[misc]


async def test_a_client_that_leaves_does_not_cancel_the_review_of_others(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    leaving = asyncio.create_task(user_of(tokens, SECRET))
    staying = asyncio.create_task(user_of(tokens, SECRET))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is not None


async def test_a_failing_webhook_is_asked_again_and_its_failure_is_not_kept(
    webhook: Webhook, outbound: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = tokens_of(webhook, outbound)
    webhook.failures = 2
    assert await user_of(tokens, SECRET) is not None
    webhook.failures = 3
    assert await user_of(tokens, "other") is None
    webhook.users["other"] = JANE
    assert await user_of(tokens, "other") is not None
    assert "a token could not be reviewed: --webhook" in caplog.text
    assert "answered with status 500" in caplog.text


V1 = "authentication.k8s.io/v1"
ACCEPTED: dict[str, Any] = {"authenticated": True, "user": JANE}
MALFORMED: list[dict[str, Any]] = [
    {},
    {"authenticated": "true", "user": JANE},
    {"authenticated": True},
    {"authenticated": True, "user": None},
    {"authenticated": True, "user": "jane"},
    {"authenticated": True, "user": {}},
    {"authenticated": True, "user": {"username": ""}},
    {"authenticated": True, "user": {"username": 5}},
    {"authenticated": True, "user": {**JANE, "groups": "devs"}},
    {"authenticated": True, "user": {**JANE, "groups": [1]}},
    {"authenticated": True, "user": {**JANE, "extra": {"a": "b"}}},
    {"authenticated": True, "user": {**JANE, "uid": 1}},
    {"authenticated": True, "user": JANE, "audiences": "kcp"},
]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": ACCEPTED},
        {"apiVersion": f"{V1}beta1", "kind": "TokenReview", "status": ACCEPTED},
        {"apiVersion": V1, "kind": "Status", "status": ACCEPTED},
        {"apiVersion": V1, "kind": "TokenReview"},
        {"apiVersion": V1, "kind": "TokenReview", "status": []},
        *({"apiVersion": V1, "kind": "TokenReview", "status": status} for status in MALFORMED),
    ],
)
async def test_a_malformed_answer_is_no_user(webhook: Webhook, outbound: Outbound, answer: dict[str, Any]) -> None:
    webhook.answer = lambda _: answer
    assert await user_of(tokens_of(webhook, outbound), SECRET) is None


async def test_a_token_that_is_no_text_is_not_sent(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    assert await resolved(tokens.authenticate_token(b"\xff\xfe", DEFAULT)) is None
    assert webhook.bodies == []


async def test_audiences_are_asked_for_and_must_be_confirmed(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound, api_audiences=("kcp",))
    assert await user_of(tokens, SECRET) is not None
    assert webhook.bodies[0]["spec"]["audiences"] == ["kcp"]
    assert await tokens.review_token(SECRET.encode(), DEFAULT, ["vault"]) is None, (
        "an answer without audiences is for kcp"
    )
    webhook.audiences = ["vault", "other"]
    found = await tokens.review_token(SECRET.encode(), DEFAULT, ["other", "vault", "x"])
    assert isinstance(found, Reviewed)
    assert found.audiences == ("other", "vault")
    webhook.users["for-vault"] = JANE
    assert await user_of(tokens, "for-vault") is None


async def test_a_review_says_why_the_webhook_refused(webhook: Webhook, outbound: Outbound) -> None:
    tokens = tokens_of(webhook, outbound)
    for _ in range(2):
        with pytest.raises(StatusError, match="no such session") as refusal:
            await tokens.review_token(b"wrong", DEFAULT, [])
        assert refusal.value.code == 401


async def test_no_log_shows_a_token(webhook: Webhook, outbound: Outbound, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tokens_of(webhook, outbound)
    webhook.failures = 3
    with caplog.at_level(logging.DEBUG):
        assert await user_of(tokens, SECRET) is None
        webhook.answer = lambda review: {"kind": review["spec"]["token"]}
        assert await user_of(tokens, SECRET) is None
    assert SECRET not in "".join(record.getMessage() for record in caplog.records)
