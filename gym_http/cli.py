"""The command line: `gym-http serve | health | envs | scores | fake-server`. Flags of the first are
the fields of Settings."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gym_http import __version__, tokens
from gym_http.errors import GymHTTPError
from gym_http.fake_server.command import fake_server
from gym_http.settings import CHOICES, Settings, flags_of, knobs, variable_of

log = logging.getLogger(__name__)


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each knob, or for those named. The command receives them as
    keyword arguments."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        for knob in reversed(knobs()):
            if not names or knob.name in names:
                command = _option(knob)(command)
        return command

    return give


def _option(knob: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = typing.get_type_hints(Settings)[knob.name]
    options: dict[str, Any] = {
        "help": knob.metadata["help"],
        "envvar": variable_of(knob),
        "default": knob.default,
        "show_default": knob.default is not False and knob.default not in ((), "", None),
    }
    if Path in typing.get_args(kind):
        kind = Path
    if kind is bool:
        options["is_flag"] = True
    elif knob.name in CHOICES:
        options["type"] = click.Choice(CHOICES[knob.name])
    elif typing.get_origin(kind) is tuple:
        options.update(type=str, multiple=True)
    else:
        options["type"] = float if knob.default is None and kind is not Path else kind
    return click.option(*flags_of(knob), knob.name, **options)


def read_settings(arguments: Sequence[str] = ()) -> Settings:
    """Settings from the environment, and from `arguments` as the command line would give them."""
    context = serve.make_context("gym_http_server", list(arguments))
    return _settings(context.params)


def _settings(options: dict[str, Any]) -> Settings:
    try:
        return Settings(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _guarded(settings: Settings) -> Settings:
    """The settings with the tokens in hand, which are no longer to be found elsewhere."""
    from gym_http.web.access import Access, require_guard

    context = click.get_current_context()
    for name in tokens.ROLES:
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_given and not getattr(settings, name):  # as by a shell's variable that isn't set
            raise click.UsageError(f"--{name.replace('_', '-')} is empty")
    try:
        given, settings = settings, tokens.settled(settings)
        for doubt in tokens.doubts(given, settings):
            log.warning(doubt)
        Access(settings)  # which says what is wrong with the rest
        require_guard(settings.listen, settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    tokens.forget_variables()
    return settings


def _import(modules: Sequence[str]) -> None:
    """Import what registers further environments, also from the directory of the caller."""
    from gym_http import catalogue

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for module in modules:
        try:
            catalogue.import_modules([module])
        except (Exception, SystemExit) as error:
            raise click.ClickException(f"--import {module}: {_why_not(module, error)}") from error


def _check_scoreboard(settings: Settings) -> None:
    """Before there is a worker, which would fail with it again and again."""
    if settings.scoreboard_url:
        from gym_http.scoreboard.database import database

        try:
            database(settings.scoreboard_url, settings.data_dir, settings.scoreboard_password_file)
        except GymHTTPError as error:
            raise click.UsageError(error.message) from error


def _why_not(module: str, error: BaseException) -> str:
    """What its author has to know: the exception, and where in the module it came from."""
    if module.endswith(".py"):
        return f"give the module's name, without .py: --import {module.removesuffix('.py')}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if last.filename.startswith("<frozen") else f" ({last.filename}:{last.lineno})"
    return f"{type(error).__name__}: {error}{where}"


@click.group()
@click.version_option(__version__, package_name="gym-http")
def main() -> None:
    """Gymnasium's and Gym's environments over HTTP."""


@main.command(context_settings={"max_content_width": 100})
@settings_options()
def serve(**options: Any) -> None:
    """Serve environments until Ctrl-C, SIGTERM or POST /v1/shutdown/."""
    settings = _settings(options)
    from gym_http import logs, roots

    try:
        roots.require(settings.data_roots)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    logs.start(settings.log_level, settings.log_format)
    settings = _guarded(settings)
    from gym_http import catalogue, engines
    from gym_http.web import serve as server
    from gym_http.web.tls import BadCertificate

    _import(settings.imports)
    _check_scoreboard(settings)
    count = sum(env.missing is None for env in catalogue.registered("gymnasium"))
    more = ", and those of the gym package" if engines.gym_is_installed() else ""
    greeting = f"Serving on {{url}}: {count} Gymnasium environments{more}. Ctrl-C ends it."
    try:
        server.serve(settings, greeting)
    except (server.PortInUse, BadCertificate) as error:
        raise click.ClickException(str(error)) from error


@main.command(context_settings={"max_content_width": 100})
@click.option("--url", help="The server. By default the one that --listen and --port stand for.")
@click.option("--ca", type=Path, help="Issuers of its certificate; PEM.")
@click.option("--client-cert", type=Path, help="Certificate to show it, with its key; PEM.")
@click.option("--timeout", default=5.0, show_default=True, help="Longest to wait for a reply, s.")
@click.option("--wait", "wait_s", default=0.0, help="Go on asking for so many seconds.")
@settings_options("listen", "port", "tls_cert")
def health(
    url: str | None,
    ca: Path | None,
    client_cert: Path | None,
    timeout: float,
    wait_s: float,
    listen: str,
    port: int,
    tls_cert: Path | None,
) -> None:
    """Ask a server whether it is well: ends with 0 if it is, and with 1 if not."""
    from gym_http import health

    own = tls_cert if url is None else None
    url = url or health.own_url(listen, port, tls_cert is not None)
    try:
        https = url.startswith("https:")
        context = health.tls_context(ca, own, client_cert) if https else None
        click.echo(health.wait(url, context, timeout, wait_s))
    except (health.Unhealthy, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--engine", help="Only this engine's.")
@click.option("--import", "imports", multiple=True, help="Module to import first. Repeatable.")
def envs(engine: str | None, imports: tuple[str, ...]) -> None:
    """List the environments that a server here can make."""
    from gym_http import catalogue

    _import(imports)
    try:
        known = catalogue.registered(engine)
    except GymHTTPError as error:
        raise click.ClickException(str(error)) from error
    for env in known:
        note = f"  (needs: {env.missing})" if env.missing else ""
        click.echo(f"{env.env_id}  {env.engine}{note}")


@main.command()
@click.option("--env-id", help="Only this environment's.")
@settings_options("data_dir", "scoreboard_url", "scoreboard_password_file")
def scores(
    env_id: str | None, data_dir: Path, scoreboard_url: str, scoreboard_password_file: Path | None
) -> None:
    """Print the scoreboard."""
    from gym_http.scoreboard.store import Scoreboard

    try:
        entries = Scoreboard(data_dir, scoreboard_url, scoreboard_password_file).ranked(env_id)
    except GymHTTPError as error:
        raise click.ClickException(str(error)) from error
    if not entries:
        click.echo("No scores yet: record with the monitor, then upload the directory.")
    for entry in entries:
        mean = "-" if entry["mean"] is None else f"{entry['mean']:.2f} ± {entry['error'] or 0:.2f}"
        click.echo(
            f"{entry['env_id']}  {mean}  {entry['number_episodes']} episodes  "
            f"{entry['algorithm_id'] or '-'}  {entry['uploader']}  {entry['uploaded']:%Y-%m-%d}"
        )


main.add_command(fake_server)
