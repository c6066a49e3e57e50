"""What goes wrong in the loop itself, told to notifiers: once, and that it is over. Sends nothing itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlctl.loop.project import Project

_SETTINGS = "settings"
_NEXT_TURN = "next  mend it and send the loop SIGHUP, which reads all anew; its next turn tries again"
_NEXT_RELOAD = "next  mend it and send SIGHUP once more; till then the loop goes on with what it has"


class Troubles:
    """Tells the notifiers of the project as it is now. Never waits; thread-safe as they are."""

    def __init__(self, project: Callable[[], Project]) -> None:
        self._project = project
        self._well: set[str] = set()
        """Subjects of which no trouble is open, as far as this process knows."""

    def met(self, subject: str, title: str, text: str, *, is_everywhere: bool = False) -> None:
        """It goes wrong, as `text` says. What is so `is_everywhere`, and not for this process alone, is one trouble of
        all loops."""
        self._well.discard(subject)
        self._tell(subject, title, text, is_everywhere=is_everywhere, is_over=False)

    def over(self, subject: str, title: str, text: str, *, is_everywhere: bool = False) -> None:
        """It goes well; told where the trouble was, by this process or one before it. Cheap from the second time on."""
        if subject not in self._well:
            self._well.add(subject)
            self._tell(subject, title, text, is_everywhere=is_everywhere, is_over=True)

    def turn_refused(self, schedule: str, title: str, why: str) -> None:
        """A turn, known by `title`, came to no build; whichever loop has the next one."""
        text = f"{title} was not built: {why}\n{_NEXT_TURN}"
        self.met(f"turn of {schedule}", f"{schedule} cannot be built", text, is_everywhere=True)

    def turn_built(self, schedule: str) -> None:
        """It came to a build, however that ended."""
        self.over(f"turn of {schedule}", f"{schedule} can be built again", "", is_everywhere=True)

    def reload_refused(self, why: str) -> None:
        """What was read at SIGHUP cannot be used."""
        self.met(_SETTINGS, "settings and pipelines stay as they were", f"they cannot be read: {why}\n{_NEXT_RELOAD}")

    def reloaded(self) -> None:
        """What was read at SIGHUP is used from now on."""
        self.over(_SETTINGS, "settings and pipelines were read anew", "")

    def _tell(self, subject: str, title: str, text: str, *, is_everywhere: bool, is_over: bool) -> None:
        project = self._project()
        notifications = project.notifications
        if not notifications:
            return
        from etlctl.notify import Trouble  # it is imported where there are some

        of = "" if is_everywhere else f" {socket.gethostname()}:{os.getpid()}"
        trouble = Trouble(f"{subject}{of}", project.app.hidden(title), project.app.hidden(text))
        (notifications.trouble_is_over if is_over else notifications.trouble)(trouble)
