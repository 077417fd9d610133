"""What transformers keep: values come back, changed and moved ones do not, and the stored form is Kubernetes'."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.store.encryption.ciphers import AESCBCTransformer, AESGCMTransformer, SecretboxTransformer
from kcp.store.encryption.kms import messages
from kcp.store.encryption.kms.client import EncryptedSource
from kcp.store.encryption.kms.envelope import EnvelopeTransformer, WriteKey
from kcp.store.encryption.providers import Providers, Rules
from kcp.store.encryption.transformers import (
    DecryptionError,
    EncryptionError,
    IdentityTransformer,
    Transformer,
    context_of,
)
from tests.support.keys import make_key

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def _unknown(source: EncryptedSource) -> bytes:
    raise DecryptionError("unknown")


def envelope(seed: bytes = KEY) -> EnvelopeTransformer:
    made = EnvelopeTransformer("kms", _unknown)
    source = EncryptedSource(messages.SEED, b"encrypted seed", "key-1", (("a.example.com", b"b"),))
    made.add(source, seed)
    made.write_key = WriteKey(seed, source)
    made.usable_until = time.monotonic() + 3600
    return made


def secretbox(key: bytes) -> Transformer:
    pytest.importorskip("nacl", reason="PyNaCl is an extra")
    return SecretboxTransformer("key1", key)


MAKERS: dict[str, Callable[[bytes], Transformer]] = {
    "aesgcm": lambda key: AESGCMTransformer("key1", key),
    "aescbc": lambda key: AESCBCTransformer("key1", key),
    "secretbox": secretbox,
    "kms": envelope,
}
AUTHENTICATED = ("aesgcm", "secretbox", "kms")
BOUND = ("aesgcm", "kms")

values = st.binary(max_size=2000)
contexts = st.binary(min_size=1, max_size=50)


@pytest.mark.parametrize("kind", MAKERS)
@given(value=values, context=contexts)
def test_a_value_comes_back(kind: str, value: bytes, context: bytes) -> None:
    transformer = MAKERS[kind](KEY)
    stored = transformer.encrypt(value, context)
    assert stored.startswith(transformer.prefix)
    assert transformer.decrypt(stored, context) == value
    assert transformer.encrypt(value, context) != stored
    assert transformer.source_of(stored) in stored


@pytest.mark.parametrize("kind", AUTHENTICATED)
@given(data=st.data(), value=values)
def test_a_changed_value_is_refused(kind: str, data: st.DataObject, value: bytes) -> None:
    transformer = MAKERS[kind](KEY)
    stored = bytearray(transformer.encrypt(value, b"a"))
    sealed = len(stored) if kind != "kms" else bytes(stored).index(b"key-1") - 2
    position = data.draw(st.integers(len(transformer.prefix) + (4 if kind == "kms" else 0), sealed - 1))
    stored[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecryptionError):
        transformer.decrypt(bytes(stored), b"a")


@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
def test_any_bytes_behind_the_prefix_are_refused_or_decrypted(kind: str, data: st.DataObject) -> None:
    transformer = MAKERS[kind](KEY)
    stored = transformer.prefix + data.draw(st.binary(max_size=200))
    if kind == "aescbc":  # it authenticates nothing
        with contextlib.suppress(DecryptionError):
            transformer.decrypt(stored, b"a")
        return
    with pytest.raises(DecryptionError, match=r"\S"):
        transformer.decrypt(stored, b"a")


@pytest.mark.parametrize("kind", MAKERS)
def test_a_value_that_is_cut_off_is_refused(kind: str) -> None:
    transformer = MAKERS[kind](KEY)
    stored = transformer.encrypt(b'{"a":1}', b"a")
    for length in range(len(transformer.prefix), len(stored)):
        with pytest.raises(DecryptionError):
            transformer.decrypt(stored[:length], b"a")


@pytest.mark.parametrize("kind", BOUND)
@given(value=values, context=contexts, other=contexts)
def test_a_value_that_is_moved_to_another_key_is_refused(kind: str, value: bytes, context: bytes, other: bytes) -> None:
    if context == other:
        return
    transformer = MAKERS[kind](KEY)
    with pytest.raises(DecryptionError):
        transformer.decrypt(transformer.encrypt(value, context), other)


@pytest.mark.parametrize("kind", AUTHENTICATED)
def test_another_key_does_not_decrypt(kind: str) -> None:
    stored = MAKERS[kind](KEY).encrypt(b'{"a":1}' * 9, b"a")
    with pytest.raises(DecryptionError):
        MAKERS[kind](OTHER).decrypt(stored, b"a")


@given(first=st.tuples(*[st.text(max_size=5)] * 4), second=st.tuples(*[st.text(max_size=5)] * 4))
def test_two_keys_have_two_contexts(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert (context_of(make_key(*first)) == context_of(make_key(*second))) == (first == second)


def test_the_stored_forms_are_those_of_kubernetes() -> None:
    gcm = AESGCMTransformer("key1", KEY)
    nonce, value, context = bytes(12), b"value", b"secrets/root/default/a"
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    assert (
        gcm.decrypt(b"k8s:enc:aesgcm:v1:key1:" + nonce + AESGCM(KEY).encrypt(nonce, value, context), context) == value
    )
    stored = envelope().encrypt(value, context)
    assert stored.startswith(b"k8s:enc:kms:v2:kms:")
    content = messages.parse("EncryptedObject", stored.removeprefix(b"k8s:enc:kms:v2:kms:"))
    assert (content.keyID, content.encryptedDEKSource, content.encryptedDEKSourceType) == (
        "key-1",
        b"encrypted seed",
        1,
    )
    assert len(content.encryptedData) == 32 + 12 + len(value) + 16


def test_hkdf_derives_the_key_as_in_rfc_5869() -> None:
    # RFC 5869, appendix A.1: the first 32 bytes of OKM, for its PRK and info
    from kcp.store.encryption.kms.envelope import _derived

    seed = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    derived = _derived(seed, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"))
    assert derived.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_a_key_of_aes_gcm_that_an_older_kubernetes_encrypted_decrypts() -> None:
    transformer = EnvelopeTransformer("kms", _unknown)
    transformer.add(EncryptedSource(messages.KEY, b"encrypted key", "key-1"), KEY)
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = bytes(12) + AESGCM(KEY).encrypt(bytes(12), b"value", b"a")
    content = messages.make("EncryptedObject", encryptedData=sealed, keyID="key-1", encryptedDEKSource=b"encrypted key")
    assert transformer.decrypt(transformer.prefix + content.SerializeToString(), b"a") == b"value"


def test_a_write_needs_a_recent_answer_of_the_service() -> None:
    transformer = envelope()
    transformer.usable_until = time.monotonic() - 1
    transformer.problem = "it does not answer"
    with pytest.raises(EncryptionError, match="it does not answer"):
        transformer.encrypt(b"a", b"b")


def test_the_first_provider_writes_and_each_reads_what_it_wrote() -> None:
    gcm, cbc, identity = AESGCMTransformer("key1", KEY), AESCBCTransformer("key2", OTHER), IdentityTransformer()
    providers = Providers([gcm, cbc, identity])
    assert providers.encrypt(b"{}", b"a").startswith(b"k8s:enc:aesgcm:v1:key1:")
    for transformer, stale in ((gcm, False), (cbc, True), (identity, True)):
        stored = transformer.encrypt(b"{}", b"a")
        assert providers.decrypt(stored, b"a") == b"{}"
        assert providers.is_stale(stored) is stale
    with pytest.raises(DecryptionError, match="no provider has the key of its prefix k8s:enc:aesgcm:v1:key9:"):
        providers.decrypt(AESGCMTransformer("key9", KEY).encrypt(b"{}", b"a"), b"a")
    with pytest.raises(DecryptionError, match="identity is not among the providers"):
        Providers([gcm]).decrypt(b"{}", b"a")


def test_two_keys_of_one_name_are_both_tried() -> None:
    providers = Providers([AESGCMTransformer("key1", KEY), AESGCMTransformer("key1", OTHER)])
    assert providers.decrypt(AESGCMTransformer("key1", OTHER).encrypt(b"{}", b"a"), b"a") == b"{}"


def test_the_narrowest_rule_of_a_resource_applies() -> None:
    rules = Rules(
        {
            name: [AESGCMTransformer(key, KEY)]
            for name, key in (("secrets", "1"), ("*.", "2"), ("*.apps", "3"), ("*.*", "4"), ("a.apps", "5"))
        }
    )
    for resource, key in (
        ("secrets", "1"), ("configmaps", "2"), ("deployments.apps", "3"), ("widgets.example.com", "4"), ("a.apps", "5"),
    ):  # fmt: skip
        providers = rules[resource]
        assert providers is not None
        assert providers.first.prefix == f"k8s:enc:aesgcm:v1:{key}:".encode()
    assert Rules({"*.apps": [AESGCMTransformer("1", KEY)]})["secrets"] is None


def test_secretbox_is_that_of_nacl() -> None:
    # NaCl's tests/secretbox.c
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    sealed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011"
        "ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de"
        "56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    plain = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce"
        "314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040"
        "e082f937763848645e0705"
    )
    assert secretbox(key).decrypt(b"k8s:enc:secretbox:v1:key1:" + nonce + sealed, b"any place") == plain
