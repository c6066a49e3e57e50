"""How a connection's Redshift gets at S3, and where rows lie on their way: its settings, read for a statement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from etlctl.db.dialects.redshift.connection import options_of
from etlctl.db.dialects.redshift.statements import Access, checked_role
from etlctl.errors import SettingsError, UnavailableError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.s3.address import S3Address

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def access_of(connection: sa.Connection) -> Access:
    """By the role of the settings; by the keys of the S3 client only where `static_keys` says so.

    SettingsError where neither is set; UnavailableError where there are no keys.
    """
    options = options_of(connection)
    if options.iam_role is not None:
        return Access(role=checked_role(options.iam_role))
    if not options.static_keys:
        raise SettingsError(
            f"Redshift has no way into S3: set iam_role of the connection {options.connection} in the settings to the "
            'ARN of a role that is attached to the cluster or workgroup ("default" is its default role).'
        )
    from etlctl.s3.client import credentials

    found = credentials()
    if found is None:
        raise UnavailableError(
            f"static_keys of the connection {options.connection} lends Redshift the keys of the S3 client, and that "
            "has none. Set iam_role instead, or give [s3] its keys."
        )
    return Access(key_id=found.access_key, secret=found.secret_key, token=found.token)


def staging_of(connection: sa.Connection) -> S3Address:
    """The prefix that rows are put under. SettingsError where none is set."""
    options = options_of(connection)
    if options.s3_staging is None:
        raise SettingsError(
            f"rows get into Redshift by way of S3, and the connection {options.connection} does not say where they may "
            'lie meanwhile: set s3_staging = "s3://BUCKET/FOLDER/" in its settings.'
        )
    from etlctl.s3.address import parse

    return parse(options.s3_staging)


def region_option() -> dict[str, Any]:
    """The option `region` of COPY and UNLOAD: that of `[s3]`, where it names one of Amazon's."""
    from etlctl.s3.client import settings

    region = settings().region
    return {"region": region} if region is not None and _REGION.fullmatch(region) else {}
