"""Fetches one file of a package version, known by its SHA-256, from where pip is configured to look."""

import ast
import hashlib
import logging
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import SourceError
from bench.files import sync_folder
from bench.sources.archives import CHUNK, in_mb, writing

if TYPE_CHECKING:
    from unearth import Link
    from unearth.fetchers.sync import PyPIClient

Report = Callable[[int, int | None], None]

SHOWN = 3  # of the files with another hash; some versions have fifty


class _UnusableError(SourceError):
    """This file of the package will not do; another one may."""


@dataclass
class _Trail:
    """Where was looked, and what was wrong there: the material of the error message."""

    lines: list[str] = field(default_factory=list)
    unreachable: bool = False


def download(name: str, version: str, sha256: str, target: Path, report: Report | None = None) -> None:
    """Write the wheel or sdist of NAME==VERSION that has this hash to `target`, atomically.

    `report` is called with the bytes so far and the total, where the server says it. With BENCH_OFFLINE=1
    only local folders are looked at. Raises SourceError.
    """
    settings = _pip_settings()
    trail = _Trail()
    with _session(settings) as session, _warnings_into(trail):
        unhashed: list[Link] = []
        for source, links in _listings(name, version, settings, session, trail):
            known = [link for link in links if _listed_sha256(link) == sha256]
            unhashed += [link for link in links if _listed_sha256(link) is None]
            others = [link for link in links if _listed_sha256(link) not in (None, sha256)]
            for link in others[:SHOWN]:
                trail.lines.append(f"{source}: {link.filename} has sha256 {_listed_sha256(link)}")
            if len(others) > SHOWN:
                trail.lines.append(f"{source}: {len(others) - SHOWN} more files, none with that hash")
            if any(_fetched(link, sha256, target, session, trail, report) for link in known):
                return
        if any(_fetched(link, sha256, target, session, trail, report) for link in unhashed):
            return
    if _offline():
        advice = (
            "BENCH_OFFLINE is set: unset it and run `python -m bench fetch` once, "
            "or put the file in a folder and set pip's find-links to that"
        )
    elif trail.unreachable:
        advice = "connect once and run `python -m bench fetch`, or point pip's index-url or find-links to a copy"
    else:
        advice = "check the reference, or point pip's index-url or find-links to where that file is"
    looked = "; ".join(trail.lines) or "no index and no folder is configured"
    raise SourceError(f"Cannot get {name}=={version} with sha256 {sha256}: {looked}. What to do: {advice}.")


def _listings(
    name: str, version: str, settings: dict[str, str], session: "PyPIClient", trail: _Trail
) -> Iterator[tuple[str, "list[Link]"]]:
    """Each source with its files of that version, for any Python and platform; local sources first."""
    from unearth import Link, PackageFinder

    for kind, url in sorted(_sources(settings), key=lambda source: not _is_local(source[1])):
        if _offline() and not _is_local(url):
            continue
        if kind == "find_links" and "://" not in url and not Path(url).exists():
            continue  # pip passes over a folder that is not there, and so do we
        finder = PackageFinder(session, **{kind: [url]}, ignore_compatibility=True)  # type: ignore[arg-type]
        shown, before = Link(url).redacted, len(trail.lines)
        try:
            found = finder.find_matches(f"{name}=={version}", allow_yanked=True, allow_prereleases=True)
            links = [package.link for package in found]
        except Exception as error:  # noqa: BLE001 - one index that is down must not hide what another one has
            trail.lines.append(f"{shown}: cannot be reached ({error})")
            trail.unreachable = True
            continue
        if not links and len(trail.lines) == before:
            trail.lines.append(f"{shown}: nothing of that version")
        yield shown, links


def _fetched(
    link: "Link", sha256: str, target: Path, session: "PyPIClient", trail: _Trail, report: Report | None
) -> bool:
    """Whether the link's file had the hash, and is now `target`; if not, the trail says why."""
    if _offline() and not link.is_file:
        return False
    # Named after the target, and hidden: what a killed process leaves behind, the next one overwrites.
    partial = target.with_name(f".{target.name}.partial")
    try:
        with writing(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            found = _save(link, partial, session, report)
            if found != sha256:
                raise _UnusableError(f"{link.redacted}: what came has sha256 {found}")
            partial.replace(target)
            sync_folder(target.parent)
    except _UnusableError as error:
        trail.lines.append(str(error))
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def _save(link: "Link", path: Path, session: "PyPIClient", report: Report | None) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("wb") as file:
        for block, total in _body(link, session):
            with writing(path.parent, total):
                file.write(block)
            digest.update(block)
            done += len(block)
            if report:
                report(done, total)
        with writing(path.parent, done):
            file.flush()
            os.fsync(file.fileno())
    return digest.hexdigest()


def _body(link: "Link", session: "PyPIClient") -> Iterator[tuple[bytes, int | None]]:
    """The file's blocks, each with the total size in bytes if the server says it; all, or an error."""
    done, total = 0, None
    try:
        # `identity`, or some servers label a .tar.gz as compressed text, whose length then is another.
        with session.get_stream(link.normalized, headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            if length := response.headers.get("Content-Length"):
                total = int(length)
            for block in response.iter_raw(CHUNK):
                done += len(block)
                yield block, total
    except Exception as error:
        if done or total:
            raise _UnusableError(_cut_short(link, done, total)) from error
        raise _UnusableError(f"{link.redacted}: cannot be downloaded ({error})") from error
    if total is not None and done != total:
        raise _UnusableError(_cut_short(link, done, total))


def _cut_short(link: "Link", done: int, total: int | None) -> str:
    of = "" if total is None else f" of {in_mb(total)}"
    return f"{link.redacted}: the download was cut short after {in_mb(done)}{of}; try again"


def _listed_sha256(link: "Link") -> str | None:
    return (link.hash_option or {}).get("sha256", [None])[0]


def _offline() -> bool:
    return _is_true(os.environ.get("BENCH_OFFLINE", ""))


def _is_true(value: str) -> bool:
    return value.lower() in ("1", "y", "yes", "t", "true", "on")


def _is_local(url: str) -> bool:
    return url.startswith("file:") or "://" not in url


def _sources(settings: dict[str, str]) -> list[tuple[str, str]]:
    """(PackageFinder's name for the kind of source, its URL or folder), as pip would look at them."""
    from unearth import PackageFinder

    sources = []
    if not _is_true(settings.get("no-index", "")):
        default = PackageFinder().sources[0]["url"]
        urls = [settings.get("index-url", default), *settings.get("extra-index-url", "").split()]
        sources += [("index_urls", url) for url in urls]
    folders = settings.get("find-links", "").split()
    return sources + [("find_links", str(Path(f).expanduser()) if f.startswith("~") else f) for f in folders]


def _pip_settings() -> dict[str, str]:
    """pip's options that are set to something: its files first, PIP_* variables over them."""
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


@contextmanager
def _session(settings: dict[str, str]) -> Iterator["PyPIClient"]:
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    cert = settings.get("cert")
    try:
        verify = ssl.create_default_context(cafile=cert) if cert else True
    except OSError as error:
        raise SourceError(f"pip is configured with the certificate file {cert}, which cannot be read.") from error
    with PyPIClient(
        verify=verify,
        proxy=settings.get("proxy"),
        trusted_hosts=settings.get("trusted-host", "").split(),
        timeout=float(settings.get("timeout", settings.get("default-timeout", "30"))),
        follow_redirects=True,
        auth=MultiDomainBasicAuth(
            prompting=False, index_urls=[url for kind, url in _sources(settings) if kind == "index_urls"]
        ),
    ) as session:
        yield session


@contextmanager
def _warnings_into(trail: _Trail) -> Iterator[None]:
    """Keep unearth's warnings (a 404, a 401) for the error message, rather than have them printed."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trail.lines.append(record.getMessage())

    logger, handler = logging.getLogger("unearth"), Keep(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
