"""What every test may ask for: database servers, services of S3, and a stand-in for Redshift."""

from __future__ import annotations

pytest_plugins = ["servers.fixtures", "servers.s3_fixtures", "servers.redshift.fixtures"]
