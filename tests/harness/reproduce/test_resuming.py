"""Does a run stand as long as nothing that it was run with is another, and hold no password?"""

from dataclasses import replace

import pytest

from perfgate.reproduce.instances import INSTANCES_TABLE
from perfgate.reproduce.redis import REDIS_TABLE
from perfgate.reproduce.resuming import settings_words, why_again
from perfgate.reproduce.table import Reproduction
from tests.harness.reproduce.conftest import a_table
from tests.harness.reproduce.test_http_table import reproduction

WITH_PASSWORD = "postgresql://me:hunter2@db.example:5432/litellm"


def again(now: Reproduction, *, before: Reproduction | None = None) -> str | None:
    known = a_table(settings=settings_words(INSTANCES_TABLE, before or reproduction()))
    return why_again(known, settings_words(INSTANCES_TABLE, now), None)


def test_the_same_settings_are_the_same_run_whatever_the_seed() -> None:
    assert again(reproduction(seed="8")) is None


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (reproduction(cores=2), "scale, load"),
        (reproduction(litellm="1.79.3"), "gateway, source, load"),
        (reproduction(deps="today"), "gateway"),
        (reproduction(prisma_engine="wasm"), "Prisma's engine"),
        (reproduction(postgres_url=WITH_PASSWORD), "PostgreSQL"),
        (reproduction(load="locust"), "load, generator"),
    ],
)
def test_another_setting_is_another_run(now: Reproduction, what: str) -> None:
    assert again(now) == f"it was run with another {what}"


def test_an_apparatus_of_other_limits_is_another_one() -> None:
    usual = reproduction()
    strict = replace(usual, apparatus=usual.apparatus.model_copy(update={"dispatch_lag_p99_ms": 1.0}))
    assert again(strict) == "it was run with another apparatus"


def test_what_a_table_does_not_use_is_none_of_its_settings() -> None:
    words = settings_words(REDIS_TABLE, reproduction(postgres_url=WITH_PASSWORD, prisma_engine="wasm"))
    assert words == settings_words(REDIS_TABLE, reproduction())


def test_no_password_is_kept() -> None:
    words = settings_words(INSTANCES_TABLE, reproduction(postgres_url=WITH_PASSWORD))
    assert words["PostgreSQL"] == "postgresql://me:***@db.example:5432/litellm"
    assert "hunter2" not in str(words)
