"""One call of a command: the settings it found, the app it opened, and the moment it began."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli.options import Common, common
from etlctl.cli.streams import STREAMS, Streams, of_process
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.app import App
    from etlctl.cli.json_log import JsonLog
    from etlctl.core.results import Observer
    from etlctl.core.task import Task
    from etlctl.db.state.queries import Reader
    from etlctl.errors import SettingsError
    from etlctl.settings import S3Settings, Settings
    from etlctl.settings.mistakes import Mistakes

_KEY = "etlctl.session"
_MOST_CONNECTIONS = 3
"""That a heading names."""


class Session:
    """What a command works with. Opening it reads settings and imports pipelines; from then on stdout is the
    command's alone."""

    def __init__(self, asked: Common, streams: Streams, stack: ExitStack) -> None:
        self.asked = asked
        self.streams = streams
        self._stack = stack
        self._logs = False
        self._settings_read: Settings
        self._hidden_by: Callable[[str], str] = lambda text: text
        self.now = datetime.now().astimezone()
        """What `today` and `-3d` are counted from: the user's own time."""

    @cached_property
    def settings(self) -> Settings:
        """The settings of this call. Raises SettingsError."""
        return self.load_settings()

    def load_settings(self, mistakes: Mistakes | None = None) -> Settings:
        """Those that its words name, as they are now. Raises SettingsError; `mistakes` as in `settings.load`."""
        from etlctl import settings

        cwd = Path.cwd()
        file = settings.find(self.asked.config, os.environ, cwd)
        _forget_fetched()
        found = settings.load(
            file, environ=os.environ, cwd=cwd, profile=self.asked.profile, fetch=_fetched, mistakes=mistakes
        )
        self._settings_read = found
        self.streams.hidden = self._hidden
        return found

    def look_at_settings(self) -> Sequence[SettingsError]:
        """Settings to be looked at and not worked with: what is wrong with them, each told and none raised, but for a
        file that cannot be read or a profile that is not there."""
        from etlctl.settings.mistakes import Mistakes

        mistakes = Mistakes(are_kept=True)
        self.settings = self.load_settings(mistakes)
        return mistakes.found

    @cached_property
    def app(self) -> App:
        """The opened application, its context in place until the command ends. Raises UsageError."""
        _ = self.json_log  # before stdout is pointed at stderr: what is printed becomes lines of it
        self._stack.enter_context(self.streams.claimed())
        if self.asked.debug:
            self.log()
        from etlctl.app import App

        self._stack.enter_context(context.attempting(_Waiting(self.streams)))
        for warning in self.settings.warnings:
            self.streams.story(f"warning: {warning}")
        opened = self._stack.enter_context(App.open(self.settings))
        self.works_with(opened)
        return opened

    def works_with(self, app: App) -> None:
        """From here on its secrets, those that only its tasks' classes know of too, are taken out of the story."""
        self._hidden_by = app.hidden
        self.streams.hidden = self._hidden

    def _hidden(self, text: str) -> str:
        """Without the secrets of the app at work, nor of settings that were read since."""
        from etlctl import settings

        return settings.masked(self._hidden_by(text), self._settings_read.secrets())

    def heading_of(self, tasks: Iterable[Task]) -> str:
        """Where these tasks work, for the first line of a screen: `profile prod   warehouse postgresql://wh-1/dw`.

        The default connection where none of them names one; of many connections the first few.
        """
        settings = self.settings
        used = list(dict.fromkeys(filter(None, map(self._connection_of, tasks)))) or [settings.default_connection]
        shown = [self._shown_connection(name) for name in used[:_MOST_CONNECTIONS]]
        if len(used) > _MOST_CONNECTIONS:
            shown.append(f"and {len(used) - _MOST_CONNECTIONS} more")
        return "   ".join([*([f"profile {settings.profile}"] if settings.profile else []), *shown])

    def _connection_of(self, task: Task) -> str | None:
        """A name of the settings, or a URL; None for a task that has none, or one that cannot be told."""
        try:
            found = getattr(task, "connection", "")
        except Exception:  # noqa: BLE001  a user's property: the task itself will say so
            return None
        if found is None:
            return self.settings.default_connection
        return found if isinstance(found, str) and (found in self.settings.connections or "://" in found) else None

    def _shown_connection(self, name: str) -> str:
        connection = self.settings.connections.get(name)
        if connection is None:
            from etlctl.settings import masked_url

            return self._short(printable(masked_url(name)))
        return self.shown_database(connection.name, connection.shown_url)

    def shown_database(self, name: str, url: str) -> str:
        """A connection for a heading: `warehouse postgresql://wh-1/dw`; `url` is masked already."""
        return f"{name} {self._short(url)}" if name != url else self._short(url)

    @cached_property
    def history(self) -> Reader:
        """What has run, as the state database tells; asking creates nothing. Raises SettingsError."""
        from etlctl.db.state.queries import Reader
        from etlctl.db.state.store import Store

        reader = Reader(Store(self.settings.state))
        self._stack.callback(reader.close)
        return reader

    @property
    def state_heading(self) -> str:
        """Where history is kept, for the first line of a screen."""
        return self.shown_database("state", self.settings.state.shown_url)

    @property
    def words(self) -> str:
        """The shared options that another command needs to find the same settings, with a blank before each."""
        given = (("--config", self.asked.config), ("--profile", self.asked.profile))
        return "".join(f" {option} {quote(printable(value))}" for option, value in given if value)

    def shown_path(self, path: str) -> str:
        """A file's path as short as it can be told: relative to the project where it lies inside."""
        try:
            return str(Path(path).relative_to(self.settings.project))
        except ValueError:
            return path

    def _short(self, url: str) -> str:
        return url.replace(f"sqlite:///{self.settings.project}{os.sep}", "sqlite:///")

    def log(self) -> None:
        """Log records are part of the story from here on. Called by what runs or asks tasks: merely to list them,
        `logging` is not even imported."""
        if not self._logs:
            from etlctl.cli.story_log import installed

            self._logs = True
            self._stack.enter_context(installed(self.streams, debug=self.asked.debug, json_log=self.json_log))

    @cached_property
    def json_log(self) -> JsonLog | None:
        """The story as JSON, from the first question on, where the settings ask for it. Raises SettingsError."""
        if self.settings.logs.format != "json":
            return None
        from etlctl.cli.json_log import spoken

        return self._stack.enter_context(spoken(self.streams))

    @property
    def observers(self) -> list[Observer]:
        """What hears of every run that the command has."""
        return [self.json_log] if self.json_log is not None else []


def _forget_fetched() -> None:
    """A loop that reads its settings anew sees secrets that were rotated meanwhile."""
    fetching = sys.modules.get("etlctl.s3.secrets")
    if fetching is not None:
        fetching.forget()


def _fetched(reference: str, s3: S3Settings, at: str) -> str:
    from etlctl.app import fetched_secret  # `history` and `logs` open no app

    return fetched_secret(reference, s3, at)


class _Waiting(Attempt):
    """The attempt outside of any task's: says once that a question waits, which may be for a minute."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams: Streams | None = streams

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "waiting" and value and self._streams is not None:
            self._streams.story(f"etlctl: waiting for {printable(value)} …")
            self._streams = None


def session(ctx: click.Context) -> Session:
    """The session of this call, made at the first question for it and closed with the call."""
    found: Session | None = ctx.meta.get(_KEY)
    if found is None:
        stack = ExitStack()
        ctx.find_root().call_on_close(stack.close)
        streams = ctx.meta.get(STREAMS) or of_process()
        found = ctx.meta[_KEY] = Session(common(ctx), streams, stack)
    return found


@contextmanager
def brief_session(ctx: click.Context) -> Iterator[Session]:
    """A session for the block alone: a completion seeks its answer after click has closed the call's context."""
    with ExitStack() as stack:
        yield Session(common(ctx), ctx.meta.get(STREAMS) or of_process(), stack)
