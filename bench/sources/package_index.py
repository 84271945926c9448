"""Downloads one file of a package version, known by its SHA-256, from pip's indexes and folders."""

import ast
import logging
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import SourceError

if TYPE_CHECKING:
    from unearth import Link, PackageFinder
    from unearth.fetchers.sync import PyPIClient

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes downloaded so far and in all; the latter is None if the server does not say."""
Source = tuple[str, str]
"""PackageFinder's option for an index or a folder, and its URL or path."""


def download(name: str, version: str, sha256: str, folder: Path, on_progress: OnProgress | None = None) -> Path:
    """Download the wheel or sdist of NAME==VERSION that has this hash into `folder`; returns its path.

    A file in a local folder (pip's find-links) is not copied. With BENCH_OFFLINE=1 only local folders are searched.

    Raises:
        SourceError: if no source has the file, or none can be reached.
        OSError: if `folder` cannot be written.
    """
    from unearth import PackageFinder  # slow to import

    settings = _pip_settings()
    offline = _is_true(os.environ.get("BENCH_OFFLINE", ""))
    sources = [source for source in _sources(settings) if not offline or _is_local(source[1])]
    problems: list[str] = []
    unearth_log = BufferingHandler(1000)  # its warnings, of a 404 or a 401, belong in the error message
    with ExitStack() as stack:
        session = stack.enter_context(_session(settings, sources))
        logging.getLogger("unearth").addHandler(unearth_log)
        stack.callback(logging.getLogger("unearth").removeHandler, unearth_log)
        for kind, url in sorted(sources, key=lambda source: not _is_local(source[1])):
            finder = PackageFinder(session, **{kind: [url]}, ignore_compatibility=True)  # type: ignore[arg-type]
            try:
                matches = finder.find_matches(f"{name}=={version}", allow_yanked=True, allow_prereleases=True)
                links = [match.link for match in matches if match.link.is_file or not offline]
            except Exception as error:  # noqa: BLE001 - another index may have the file
                problems.append(f"{url} cannot be reached ({error})")
                continue
            for link in sorted(links, key=lambda link: _listed_sha256(link) is None):  # those without a hash last
                found = _download_link(finder, link, sha256, folder, on_progress)
                if isinstance(found, Path):
                    return found
                problems.append(found)
            if not links:
                problems.append(f"{url} has no file of that version")
    problems += [record.getMessage() for record in unearth_log.buffer if record.levelno >= logging.WARNING]
    looked = re.sub(r"://[^/@\s]*@", "://***@", " ".join("; ".join(problems).split()))  # no passwords
    advice = "unset BENCH_OFFLINE" if offline else "check the reference and the connection"
    raise SourceError(
        f"No file with sha256 {sha256} was found: {looked or 'no index and no folder is configured'}. To fix this, "
        f"{advice} and run `python -m bench fetch`, or set pip's index-url or find-links to a copy."
    )


def _download_link(
    finder: "PackageFinder", link: "Link", sha256: str, folder: Path, on_progress: OnProgress | None
) -> Path | str:
    """The file if it has the hash, which is checked during the download; otherwise what is wrong with it."""
    from unearth import HashMismatchError

    if (listed := _listed_sha256(link)) not in (None, sha256):
        return f"{link.url_without_fragment} has sha256 {listed}"

    def report(link: "Link", completed: int, total: int | None) -> None:
        if on_progress:
            on_progress(completed, total)

    try:
        return finder.download(link, folder, {"sha256": [sha256]}, report)
    except HashMismatchError as error:
        return f"{link.url_without_fragment} has sha256 {error.actual['sha256']}"
    except Exception as error:
        if isinstance(error, OSError) and not link.is_file:
            raise
        return f"{link.url_without_fragment} cannot be downloaded ({error})"


def _listed_sha256(link: "Link") -> str | None:
    return (link.hash_option or {}).get("sha256", [None])[0]


def _is_true(value: str) -> bool:
    return value.lower() in ("1", "y", "yes", "t", "true", "on")


def _is_local(url: str) -> bool:
    return url.startswith("file:") or "://" not in url


def _sources(settings: dict[str, str]) -> list[Source]:
    from unearth import PackageFinder

    urls = []
    if not _is_true(settings.get("no-index", "")):
        default = PackageFinder().sources[0]["url"]
        urls = [settings.get("index-url", default), *settings.get("extra-index-url", "").split()]
    folders = [str(Path(f).expanduser()) if f.startswith("~") else f for f in settings.get("find-links", "").split()]
    found = [folder for folder in folders if "://" in folder or Path(folder).exists()]  # as pip does
    return [*(("index_urls", url) for url in urls), *(("find_links", folder) for folder in found)]


def _pip_settings() -> dict[str, str]:
    """pip's options that are set: those in its files, overridden by PIP_* variables."""
    settings = {}
    lines = [line.partition("=") for line in _pip_config_list().splitlines()]
    for section in ("global.", "download."):
        settings.update({k.removeprefix(section): ast.literal_eval(v) for k, _, v in lines if k.startswith(section)})
    for key, value in os.environ.items():
        if key.startswith("PIP_") and value:
            settings[key.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _pip_config_list() -> str:
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # an environment without pip: the variables, and the default index


def _session(settings: dict[str, str], sources: list[Source]) -> "PyPIClient":
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    cert = settings.get("cert")
    try:
        return PyPIClient(
            verify=ssl.create_default_context(cafile=cert) if cert else True,
            proxy=settings.get("proxy"),
            trusted_hosts=settings.get("trusted-host", "").split(),
            timeout=float(settings.get("timeout", settings.get("default-timeout", "30"))),
            follow_redirects=True,
            auth=MultiDomainBasicAuth(prompting=False, index_urls=[url for k, url in sources if k == "index_urls"]),
            # Some servers label a .tar.gz as compressed text, which would be unpacked and have another hash.
            headers={"Accept-Encoding": "identity"},
        )
    except (OSError, ValueError) as error:
        raise SourceError(f"One of pip's settings cert, proxy and timeout is wrong ({error}).") from error
