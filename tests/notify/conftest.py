"""The projects of the command line's tests."""

from cli.conftest import empty_project, project

__all__ = ["empty_project", "project"]
