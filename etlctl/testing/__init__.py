"""Tests of a project's pipelines: what the fixture `etl` of etlctl's pytest plugin hands to a test, and its parts.

    def test_a_day_is_loaded(etl: Project) -> None:
        etl.run(LoadSales(DAY), given={SalesFile: "order_id,amount\\n1,4.50\\n"})
        etl.assert_rows("sales", [{"order_id": 1, "amount": 4.5}])

Imported by tests alone, never by a build. pytest is not needed to import it.
"""

from __future__ import annotations

from etlctl.testing.giving import Content, Given
from etlctl.testing.project import Project, TaskFailed
from etlctl.testing.surroundings import Setup

__all__ = ["Content", "Given", "Project", "Setup", "TaskFailed"]
