"""Is LiteLLM told to log to hosts that the sink stands in for, and is a licence no one's business?"""

import json
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest

from log_sink.certificates import HOSTS
from perfgate.stack.callbacks import (
    AUTHORITY_FILE,
    CALLBACKS,
    FLUSH_S,
    LICENCE_VARIABLE,
    STAND_IN_FILE,
    CallbackFault,
    CallbackName,
    LogAccess,
    callback,
    is_licensed,
    lacking,
    packages_for,
)
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl

FOLDER = Path("/run/of/gateway")
LICENCE = {LICENCE_VARIABLE: "a-licence-that-nobody-has"}


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_address_is_one_that_the_sink_stands_in_for(name: CallbackName) -> None:
    found = callback(name, environ={})
    addresses = [urlsplit(value) for value in found.environment.values() if "://" in value]
    assert {address.scheme for address in addresses} <= {"https"}
    assert {address.hostname for address in addresses} <= set(HOSTS)


def test_writing_is_as_frequent_as_settings_can_say() -> None:
    assert callback("langsmith", environ={}).environment["DEFAULT_FLUSH_INTERVAL_SECONDS"] == str(FLUSH_S)
    assert callback("webhook", environ={}).environment["DEFAULT_FLUSH_INTERVAL_SECONDS"] == str(FLUSH_S)
    assert callback("gcs", environ={}).environment["GCS_FLUSH_INTERVAL"] == str(FLUSH_S)


class TestGcs:
    def test_without_a_licence_it_is_a_stand_in_and_says_so(self) -> None:
        found = callback("gcs", environ={})
        assert found.configured == ("perfgate_gcs.handler",)
        assert "class StandIn(CustomBatchLogger)" in found.files[STAND_IN_FILE]
        assert found.note == (
            "gcs is a stand-in of perfgate's: the licensed callback gcs_bucket was not tested (LITELLM_LICENSE is not "
            "set)"
        )
        assert packages_for("gcs", {}) == ()
        assert not is_licensed({LICENCE_VARIABLE: ""})

    def test_with_one_it_is_litellms_own_and_the_licence_is_a_secret(self) -> None:
        found = callback("gcs", environ=LICENCE)
        assert found.configured == ("gcs_bucket",)
        assert found.environment[LICENCE_VARIABLE] == LICENCE[LICENCE_VARIABLE]
        assert found.secrets == (LICENCE[LICENCE_VARIABLE],)
        assert LICENCE[LICENCE_VARIABLE] not in repr(found)
        assert found.note == ""
        assert packages_for("gcs", LICENCE) == ("google-auth", "requests")
        assert packages_for("langsmith", LICENCE) == ()

    def test_its_service_account_is_nobodys_and_asks_a_host_of_the_sink_for_tokens(self) -> None:
        found = callback("gcs", environ=LICENCE)
        account = json.loads(found.files[found.environment["GCS_PATH_SERVICE_ACCOUNT"]])
        assert urlsplit(account["token_uri"]).hostname in HOSTS
        assert "PRIVATE KEY" in account["private_key"]
        assert (
            account["private_key"]
            != json.loads(callback("gcs", environ=LICENCE).files["perfgate-service-account.json"])["private_key"]
        )

    @pytest.mark.parametrize("fault", get_args(CallbackFault))
    def test_faults_are_settings_of_the_stand_in(self, fault: CallbackFault) -> None:
        added = callback("gcs", fault, {}).environment.items() - callback("gcs", environ={}).environment.items()
        assert len(added) == 1
        ((name, _),) = added
        assert name in callback("gcs", environ={}).files[STAND_IN_FILE]

    @pytest.mark.parametrize(("name", "environ"), [("langsmith", {}), ("webhook", {}), ("gcs", LICENCE)])
    def test_nothing_else_has_faults(self, name: CallbackName, environ: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="the stand-in for gcs alone has faults"):
            callback(name, "burns 1 ms", environ)


class TestAccess:
    def test_it_trusts_the_sinks_authority_and_finds_its_files_wherever_they_are(self) -> None:
        access = LogAccess(callback("gcs", environ=LICENCE), "PEM", {"HTTPS_PROXY": "http://127.0.0.1:9"})
        environment = access.environment(FOLDER)
        assert environment["SSL_CERT_FILE"] == environment["REQUESTS_CA_BUNDLE"] == str(FOLDER / AUTHORITY_FILE)
        assert environment["GCS_PATH_SERVICE_ACCOUNT"] == str(FOLDER / "perfgate-service-account.json")
        assert environment["HTTPS_PROXY"] == "http://127.0.0.1:9"
        assert access.files()[AUTHORITY_FILE] == "PEM"
        assert access.secrets == (LICENCE[LICENCE_VARIABLE],)

    def test_where_the_network_has_the_names_there_is_no_proxy(self) -> None:
        assert "HTTPS_PROXY" not in LogAccess(callback("langsmith", environ={}), "PEM").environment(FOLDER)

    @pytest.mark.parametrize(
        ("before", "after"),
        [(None, ["langsmith"]), ("prometheus", ["prometheus", "langsmith"]), (["a.b"], ["a.b", "langsmith"])],
    )
    def test_it_is_added_to_the_users_own(self, before: object, after: list[str]) -> None:
        data = {"litellm_settings": {} if before is None else {"callbacks": before}}
        LogAccess(callback("langsmith", environ={}), "PEM").configure(data)
        assert data["litellm_settings"]["callbacks"] == after


class TestLacking:
    def test_the_webhook_needs_a_licence_in_old_releases(self) -> None:
        assert lacking("webhook", Release("1.79.3")) == (
            "the callback webhook (generic_api) needs a licence in litellm 1.79.3, from 1.80.7 on it does not"
        )
        assert lacking("webhook", Release("1.102.4")) is None
        assert lacking("langsmith", Release("1.79.3")) is None

    def test_a_gateway_that_runs_already_has_its_own(self) -> None:
        running = RunningUrl("http://127.0.0.1:4000")
        assert lacking("langsmith", running) == f"{running} runs already: its callbacks are not perfgate's to set"

    def test_portkey_has_none_of_them(self) -> None:
        assert lacking("gcs", PortkeyRelease()) == "portkey 1.15.2 has none of LiteLLM's callbacks"
