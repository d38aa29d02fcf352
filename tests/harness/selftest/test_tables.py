"""Does every figure of the rates stand in the tables, under its own heading?"""

from typing import Any

from perfgate.selftest.doses import DOSES, NONE
from perfgate.selftest.rivals import ONE_PROCESS
from perfgate.selftest.tables import HEADLINE, headline, tables

METRICS = ("cpu_per_request_ms", "throughput_rps", "overhead_p50_ms", "overhead_p95_ms", "overhead_p99_ms", "rss_mib")


def share(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def found() -> dict[str, Any]:
    """Every cell with a figure of its own."""
    rates = [
        {
            "profile": profile,
            "dose": dose.name,
            "gates": 100,
            "fail": share(0.1 + 0.01 * number),
            "passed": share(0.3 + 0.01 * number),
            "invalid": share(0.5 + 0.01 * number),
            "found_by": dict.fromkeys(METRICS, 0.0) | {"rss_mib": 0.25, "overhead_p95_ms": 0.75},
            "undecided": dict.fromkeys(METRICS, 0.0),
            "minutes_p50": 2.5,
            "minutes_p95": 4.5,
        }
        for profile in ("gate", "release")
        for number, dose in enumerate(DOSES)
    ]
    return {
        "release": "1.79.3",
        "host": {"cores_allowed": 2, "cpu_model": "Some CPU", "memory_bytes": 24 * 2**30},
        "pairs": 25,
        "rounds": 60,
        "windows": 12_345,
        "noise": {"process_sd": 0.021, "round_sd": 0.123},
        "gates": 100,
        "replicates": 20,
        "plans": [
            {
                "profile": profile,
                "generations": 12,
                "rounds_per_look": 13,
                "looks": 3,
                "minutes": [2.0, 3.0, 4.0],
                "margins": dict.fromkeys(METRICS, 0.05),
            }
            for profile in ("gate", "release")
        ],
        "effects": [
            {"dose": dose.name, "metric": metric, "ratio": 1.1, "low": 1.08, "high": 1.12}
            for dose in DOSES
            if dose is not NONE
            for metric in METRICS
        ],
        "rates": rates,
        "rivals": [
            {"rule": "a rule", "data": ONE_PROCESS, "dose": dose.name, "gates": 20, "fail": share(0.4)}
            for dose in DOSES
        ],
    }


def test_what_it_rests_on_comes_first() -> None:
    heading = tables(found()).partition("## ")[0]
    for words in (
        "25 pairs of separately started processes of litellm 1.79.3",
        "60 rounds",
        "12,345 windows",
        "Some CPU",
    ):
        assert words in " ".join(heading.split())
    assert "2.1% between processes" in heading


def test_the_headline_has_a_row_for_each_profile_and_each_other_rule() -> None:
    head, _, gate, release, rule = headline(found()).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")][3:-1] == [f"finds {dose.name}" for dose in HEADLINE]
    assert gate.startswith("| perfgate, profile `gate` | 10 % (9 to 11) | 30 % (29 to 31) | 11 % (10 to 12) |")
    assert gate.endswith("| 2.5, at most 4.0 |")
    assert release.startswith("| perfgate, profile `release` |")
    assert rule.startswith("| a rule | 40 % (39 to 41) |  | 40 % (39 to 41) |")
    assert headline(found()) in tables(found())


def test_an_interval_without_width_is_left_out_of_the_headline() -> None:
    sure = found()
    sure["rivals"] = [one | {"fail": {"value": 1.0, "low": 1.0, "high": 1.0}} for one in sure["rivals"]]
    assert headline(sure).splitlines()[-1].startswith("| a rule | 100 % |  | 100 % |")


def test_each_profile_has_its_margins_and_a_row_for_each_dose() -> None:
    _, gate, release, effects, rivals = tables(found()).split("\n## ")
    for part, name in ((gate, "Profile gate"), (release, "Profile release")):
        assert part.startswith(name)
        assert "CPU 5.0%" in part
        rows = [line for line in part.splitlines() if line.startswith("| ")][2:]
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [dose.name for dose in DOSES]
        assert (
            "| none | 10.0% (9.0% to 11.0%) | 30.0% (29.0% to 31.0%) | 50.0% (49.0% to 51.0%) | 2.5 (4.5) |" in rows[0]
        )
        assert "p95 75.0%, memory 25.0%" in rows[0]
    assert effects.count("+10.0% (+8.0% to +12.0%)") == (len(DOSES) - 1) * len(METRICS)
    assert "| a rule | one process each | 40.0% (39.0% to 41.0%)" in rivals
    assert "| perfgate, profile gate | all processes | 10.0% (9.0% to 11.0%)" in rivals
