"""How do the pages that perfgate writes become HTML from templates?

Every room with a page has templates of its own, beside those of perfgate/report that all pages share.
"""

import base64
import hashlib
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from perfgate.report.plain_text import plain

_SHARED: Final = "perfgate.report"


def page_environment(package: str = _SHARED) -> Environment:
    """The templates of a package, then the shared ones: all that is filled in is escaped, and nothing may lack."""
    packages = dict.fromkeys((package, _SHARED))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    return environment


def script_of(environment: Environment, name: str) -> tuple[str, str]:
    """A script among the templates, and its SHA-256 in base64, by which a page's policy lets it and no other run."""
    assert environment.loader is not None, "page_environment gives one"
    script, _, _ = environment.loader.get_source(environment, name)
    return script, base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
