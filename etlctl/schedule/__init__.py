"""When tasks are due, and for which dates: pure answers about instants that are handed in.

Nothing here sleeps, reads a clock or knows a task; cronsim is known here alone.
"""

from __future__ import annotations

from etlctl.schedule.dates import turn_dates
from etlctl.schedule.schedules import Schedule, check, opened, schedule_of
from etlctl.schedule.times import Cron, Every, Times, missed
from etlctl.schedule.zones import zone_of

__all__ = ["Cron", "Every", "Schedule", "Times", "check", "missed", "opened", "schedule_of", "turn_dates", "zone_of"]
