"""Is every subcommand found by its name, and imported only when it is asked for?"""

import subprocess
import sys

import pytest

from perfgate.cli import COMMANDS, main
from perfgate.exit_codes import ExitCode
from tests.harness.conftest import ROOT


@pytest.mark.parametrize("name", COMMANDS)
def test_each_subcommand_has_the_name_by_which_it_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: perfgate {name} ")


def test_the_help_shows_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert COMMANDS.keys() <= shown


@pytest.mark.parametrize("given", [["reprot"], [], ["--quiet"]])
def test_a_word_that_is_none_of_them_is_bad_input(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.endswith("; see `perfgate --help`\n")


@pytest.mark.slow
def test_what_one_does_not_need_is_not_imported_for_it() -> None:
    """`perfgate doctor` is asked first on a new host, and a step of CI by every job."""
    program = """
import sys
from perfgate.cli import main
try:
    main(["doctor", "--help"])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules} & {"matplotlib", "numpy", "scipy"}), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"matplotlib", "numpy", "scipy"} & set(done.stdout.split()), done.stdout[-200:]
