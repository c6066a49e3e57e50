"""What every test may ask for: database servers."""

from __future__ import annotations

pytest_plugins = ["servers.fixtures"]
