"""Does a worker hear what its master said, and is a load refused that Locust cannot send?"""

from typing import Any

import pytest

from perfgate import __version__
from perfgate.load.locust_share import CONNECTIONS_MAX, Share, WorkerFacts, not_for_locust, too_much_for
from perfgate.load.own_process import FILES_RESERVED
from tests.harness.load.conftest import load_job

FACTS = WorkerFacts("node/7", __version__, "a-boot", 10_000)


def test_a_share_survives_the_way_with_its_key() -> None:
    job = load_job("http://h/x", users=7, api_key="sk-9", think_time_s=0.5)
    share = Share(3, job, b"load-id-", 1, 2)
    assert Share.of_message(share.as_message()) == share


def test_a_keys_owner_does_not_find_it_in_what_a_share_shows() -> None:
    assert "sk-9" not in repr(Share(3, load_job("http://h/x", users=7, api_key="sk-9"), b"", 0, 1))


@pytest.mark.parametrize(
    "nonsense", [None, {}, {"number": 1, "job": "{}", "load_id": "a", "worker": 0, "workers": 1}, 7]
)
def test_nonsense_is_no_share(nonsense: Any) -> None:
    with pytest.raises(ValueError, match=r"^not a (share of a load|job): "):
        Share.of_message(nonsense)


def test_facts_survive_the_way() -> None:
    assert WorkerFacts.of_message(FACTS.as_message()) == FACTS
    with pytest.raises(ValueError, match="not the facts of a worker"):
        WorkerFacts.of_message({"name": "x"})


def test_locust_has_no_schedule_and_reads_no_streams() -> None:
    assert not_for_locust(load_job("http://h/x", users=2)) is None
    assert "this load comes at a rate" in str(not_for_locust(load_job("http://h/x")))
    assert not_for_locust(load_job("http://h/x", users=2, stream=True)) == "perfgate's Locust users do not read streams"


def test_a_worker_of_another_perfgate_is_refused() -> None:
    other = WorkerFacts("node/7", "0.0.9", "a-boot", 10_000)
    refused = too_much_for(other, load_job("http://h/x", users=2), workers=1)
    assert refused == f"the Locust worker node/7 has perfgate 0.0.9, and this is {__version__}"


def test_more_connections_than_a_worker_keeps_alive_need_more_workers() -> None:
    job = load_job("http://h/x", "http://i/x", users=CONNECTIONS_MAX, think_time_s=1, window_s=10)
    assert too_much_for(FACTS, job, workers=2) is None
    assert too_much_for(FACTS, job, workers=1) == (
        "1,800 connections for each of 1 Locust workers are more than the 900 that Locust's client keeps alive; "
        "take 2 workers"
    )


def test_a_worker_that_may_open_too_few_files_says_how_many_it_needs() -> None:
    few = WorkerFacts("node/7", __version__, "a-boot", FILES_RESERVED + 49)
    job = load_job("http://h/x", users=100)
    assert too_much_for(few, job, workers=3) is None
    assert too_much_for(few, job, workers=2) == (
        "the Locust worker node/7 needs 50 connections and may open 249 files, of which 200 are not for connections; "
        "raise its limit (`ulimit -n`), or take more workers"
    )
