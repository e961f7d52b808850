"""Keys that change on two web processes, one after the other, while somebody is signed in: nobody notices."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import jwt
import pytest

from chat.signing_keys import derived_key, name_of
from tests.clients import PASSWORD, SECRET_KEY, request, sign_in
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]
NEW = secrets.token_hex(32)
# Signing keys, secret key, its fallbacks.
STEPS = {
    "a key of one's own": [
        (f"derived,{NEW}", SECRET_KEY, ""),
        (f"{NEW},derived", SECRET_KEY, ""),
        (NEW, SECRET_KEY, ""),
    ],
    "the secret key": [("", SECRET_KEY, NEW), ("", NEW, SECRET_KEY), ("", NEW, "")],
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    for folder in new_data_dir():
        with Cluster(folder, web=2, workers=0, drain_seconds=0) as started:
            yield started


@pytest.mark.parametrize("what", STEPS)
def test_nobody_is_refused_while_keys_change(cluster: Cluster, what: str) -> None:
    [account] = cluster.add_users(1)
    people = [sign_in(server.url, account.username, PASSWORD) for server in cluster.web]
    names: set[str] = set()

    def everybody_goes_on() -> None:
        """Each gets new tokens at one process, and uses them at both."""
        for tokens, refreshing, other in zip(people, cluster.web, reversed(cluster.web), strict=True):
            answer = request(refreshing.url, "POST", "/api/auth/token/refresh", body={"refresh": tokens["refresh"]})
            assert answer.status == 200, answer.body
            tokens.update(answer.body)
            names.add(jwt.get_unverified_header(tokens["access"])["kid"])
            for server in (other, refreshing):
                assert request(server.url, "GET", "/api/me", token=tokens["access"]).status == 200

    everybody_goes_on()
    for signing_keys, secret_key, fallbacks in STEPS[what]:
        for server in cluster.web:
            server.stop()
            server.configure(signing_keys=signing_keys, secret_key=secret_key, secret_key_fallbacks=fallbacks)
            server.start()
            everybody_goes_on()
    assert names == {
        name_of(key) for key in (derived_key(SECRET_KEY), NEW if what.startswith("a key") else derived_key(NEW))
    }
