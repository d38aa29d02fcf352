"""Is every dose one that the callback inside LiteLLM knows?"""

import re
from pathlib import Path
from typing import Final

import pytest

from perfgate.selftest.doses import DOSES, LEAK, Dose

CALLBACK: Final = (Path(__file__).parents[3] / "perfgate/stack/litellm_faults.py").read_text()


@pytest.mark.parametrize("dose", DOSES, ids=lambda dose: dose.name)
def test_its_model_is_one_of_those_that_the_callback_documents(dose: Dose) -> None:
    documented = re.findall(r"^    ([a-z]+-\S+)  ", CALLBACK, re.MULTILINE)
    shapes = {re.sub(r"\d+(\.\d+)?", "N", name) for name in documented}
    assert re.sub(r"\d+(\.\d+)?", "N", dose.model) in shapes


def test_names_and_models_are_each_ones_own_and_only_a_leak_lasts() -> None:
    assert len({dose.name for dose in DOSES}) == len({dose.model for dose in DOSES}) == len(DOSES)
    assert [dose for dose in DOSES if dose.has_own_processes] == [LEAK]
