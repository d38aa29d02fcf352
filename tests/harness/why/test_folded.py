"""Are folded stacks read as they are written, so that two releases can be compared?"""

import pytest

from perfgate.why.folded import (
    NO_FRAME,
    NO_THREAD,
    Function,
    NotFolded,
    folded,
    merged,
    own,
    threads_of,
    with_callees,
)
from tests.harness.why.conftest import counts_of

MAIN, WORK, INNER = Function("main", "app.py"), Function("work", "lib.py"), Function("inner", "lib.py")


def test_each_line_is_a_stack_with_its_samples_and_equal_ones_add_up() -> None:
    stacks = counts_of("main (app.py);work (lib.py) 3\n\nmain (app.py) 2\nmain (app.py);work (lib.py) 4\n")
    assert stacks == {(MAIN, WORK): 7, (MAIN,): 2}


def test_each_thread_has_stacks_of_its_own() -> None:
    text = (
        "thread (41): MainThread;main (app.py) 3\nthread (42): pool-1_0;work (lib.py) 4\nthread (42);work (lib.py) 1\n"
        "thread (41): MainThread 2\nmain (app.py) 5\n"
    )
    assert threads_of(text) == {41: {(MAIN,): 3, (NO_FRAME,): 2}, 42: {(WORK,): 5}, NO_THREAD: {(MAIN,): 5}}


def test_line_numbers_make_no_other_function() -> None:
    stacks = counts_of("main (app.py:1);work (lib.py:10) 3\nmain (app.py:2);work (lib.py:11) 4")
    assert stacks == {(MAIN, WORK): 7}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/root/.cache/perfgate/litellm-1.79.3/lib/python3.11/site-packages/litellm/main.py", "litellm/main.py"),
        ("/other/lib/python3.13/site-packages/litellm/main.py:812", "litellm/main.py"),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", "yaml/__init__.py"),
        ("/usr/local/lib/python3.11/asyncio/events.py", "asyncio/events.py"),
        ("/opt/lib64/python3.14t/asyncio/events.py", "asyncio/events.py"),
        ("/root/.cache/perfgate/litellm-1.79.3/bin/litellm", "bin/litellm"),
        ("/tmp/perfgate-1/litellm-1-4/callbacks.py", "callbacks.py"),
        ("/tmp/perfgate-1/litellm-1-42/callbacks.py", "/tmp/perfgate-1/litellm-1-42/callbacks.py"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        ("<string>", "<string>"),
    ],
)
def test_a_file_is_the_same_in_every_environment(path: str, shown: str) -> None:
    stacks = threads_of(f"work ({path}) 1", ("/tmp/perfgate-1/litellm-1-4",))[NO_THREAD]
    assert stacks == {(Function("work", shown),): 1}


def test_own_time_is_that_of_the_innermost_function() -> None:
    stacks = counts_of("main (app.py);work (lib.py) 3\nmain (app.py) 2\nmain (app.py);work (lib.py);inner (lib.py) 5")
    assert own(stacks) == {WORK: 3, MAIN: 2, INNER: 5}
    assert with_callees(stacks) == {MAIN: 10, WORK: 8, INNER: 5}


def test_a_recursive_function_counts_once_in_each_sample() -> None:
    stacks = counts_of("main (app.py);work (lib.py);inner (lib.py);work (lib.py);work (lib.py) 4")
    assert with_callees(stacks) == {MAIN: 4, WORK: 4, INNER: 4}
    assert own(stacks) == {WORK: 4}


def test_names_with_marks_and_without_a_file_are_kept() -> None:
    text = "<module> (a (copy).py:3);<lambda> (b.py);thing 7;f (x) y (c.py) 2"
    assert counts_of(text) == {
        (
            Function("<module>", "a (copy).py"),
            Function("<lambda>", "b.py"),
            Function("thing 7"),
            Function("f", "x) y (c.py"),
        ): 2
    }


def test_a_sample_without_a_python_frame_is_one_of_its_own() -> None:
    assert own(counts_of(" 3\nmain (app.py) 1\n7\n")) == {NO_FRAME: 10, MAIN: 1}


@pytest.mark.parametrize("line", ["main (app.py)", "main (app.py) x", "main (app.py) 0", "main (app.py) -1"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(NotFolded, match="line 2 is no folded stack"):
        threads_of(f"main (app.py) 1\n{line}\n")


def test_what_is_merged_and_written_is_read_again() -> None:
    first, second = counts_of("main (app.py) 1\n"), counts_of("main (app.py) 2\nmain (app.py);work (lib.py) 3\n")
    both = merged([first, second])
    assert folded(both) == "main (app.py) 3\nmain (app.py);work (lib.py) 3\n"
    assert counts_of(folded(both)) == both
    assert merged([]) == {}


def test_times_are_written_as_whole_numbers() -> None:
    assert folded({(MAIN,): 1234.6, (WORK,): 0.4}) == "main (app.py) 1235\n"
