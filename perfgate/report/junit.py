"""How does an INVALID look in a JUnit file: as an error of type perfgate.INVALID, not as a failure.

Comes in: the file that pytest wrote, in which every judged test carries the property `perfgate_verdict`.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

VERDICT_PROPERTY = "perfgate_verdict"


def mark_invalid(path: Path) -> int:
    """Turn the failure of every test whose verdict is INVALID into an error, counts included; returns how many."""
    tree = ET.parse(path)
    changed = 0
    for suite in tree.iter("testsuite"):
        for case in suite.iter("testcase"):
            verdicts = [p.get("value") for p in case.iter("property") if p.get("name") == VERDICT_PROPERTY]
            failure = case.find("failure")
            if "INVALID" not in verdicts or failure is None:
                continue
            failure.tag = "error"
            failure.set("type", "perfgate.INVALID")
            suite.set("failures", str(int(suite.get("failures", "1")) - 1))
            suite.set("errors", str(int(suite.get("errors", "0")) + 1))
            changed += 1
    if changed:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    return changed
