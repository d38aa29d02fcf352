"""`perfgate images build`: make the images of the container backend from this checkout.

Comes in: a base image and releases of LiteLLM. Goes out: images on this host, one printed line each. For hosts that
reach no registry of images; everywhere else the official ones are pulled when they are needed, and only the mock's is
built.
"""

import argparse
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.stack.environments import ALLOWANCE, EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE, checked_release


def add_images(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `images` to the commands of `perfgate`."""
    # Docker's libraries take 0.3 s to import, which no other command should wait for.
    parser = commands.add_parser("images", help="build the images of --stack=containers")
    build = parser.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "build",
        help="build them from this checkout on a base image",
        description="Build the images of mock, LiteLLM, PostgreSQL, Redis and Portkey from this checkout; "
        "--images=built then takes them. Packages come from the base's Debian and from where pip, uv and npm find them "
        "on this host.",
    )
    option = build.add_argument
    option("--base", metavar="IMAGE", help="a Debian, with or without Python; pulled when it is missing")
    option("--only", default="", metavar="ROLES", help="build only these of mock,litellm,postgres,redis,portkey")
    option(
        "--litellm",
        action="append",
        metavar="RELEASE",
        help=f"a release of LiteLLM; may be repeated (default: {DEFAULT_RELEASE})",
    )
    option("--deps", choices=("of-its-time", "today"), default="of-its-time", help="LiteLLM's dependencies")
    option(
        "--prisma-engine",
        choices=("native", "wasm", "none"),
        default="native",
        help="in LiteLLM's image: native is downloaded, wasm comes from npm packages, none is for no database "
        "(%(default)s)",
    )
    option(
        "--ca-bundle",
        type=Path,
        metavar="FILE",
        help="certificates to trust while building; not in the images (default: those that pip or uv trusts here)",
    )
    option("--again", action="store_true", help="build also what is here already, made of the same")
    build.set_defaults(run=run_build)


def run_build(options: argparse.Namespace) -> ExitCode:
    """Build what was asked for.

    Raises:
        BadInput: an option cannot be used, or there is no Docker engine.
        StackFailed: an image could not be built.
    """
    from perfgate.stack import images
    from perfgate.stack.build_settings import BuildSettings
    from perfgate.stack.engine import connected

    roles = _roles(options.only, images.ROLES)
    releases = [checked_release(release) for release in options.litellm or [DEFAULT_RELEASE]]
    settings = BuildSettings.of_host(os.environ)
    if options.ca_bundle is not None:
        settings = replace(settings, ca_bundle=options.ca_bundle)
    client = connected()
    try:
        for role in roles:
            for release in releases if role == "litellm" else ("",):
                images.build(
                    client,
                    role,
                    options.base or images.DEFAULT_BASE,
                    say=print,
                    release=release,
                    exclude_newer=_uploaded_until(release) if release and options.deps == "of-its-time" else None,
                    prisma=options.prisma_engine,
                    settings=settings,
                    again=options.again,
                )
    finally:
        client.client.close()
    return ExitCode.OK


def _roles(text: str, known: tuple[Any, ...]) -> tuple[Any, ...]:
    asked = tuple(role.strip() for role in text.split(",") if role.strip())
    wrong = [role for role in asked if role not in known]
    if wrong:
        raise BadInput(f"--only {text}: {wrong[0]!r} is none of {', '.join(known)}")
    return asked or known


def _uploaded_until(release: str) -> datetime:
    return EnvironmentCache.of_user(os.environ).installer.uploaded_at(release) + ALLOWANCE
