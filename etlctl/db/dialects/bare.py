"""Our NUMERIC without sizes where a database has none: DECIMAL(38,9), and what that would round or cannot hold."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from etlctl.db.columns import BadValueError

BARE_PRECISION, BARE_SCALE = 38, 9
EXACT = Context(prec=2000)
"""Python's own would round to 28 digits."""


def check_bare(number: Decimal, value: Any, database: str) -> None:
    """BadValueError, which shows `value`, where a bare numeric of `database` would not keep `number` digit by digit."""
    exponent = number.normalize(EXACT).as_tuple().exponent if number else 0
    if isinstance(exponent, int) and exponent < -BARE_SCALE:
        raise BadValueError(
            value,
            f"would be rounded: a numeric without sizes has {BARE_SCALE} digits behind the point on {database}; "
            "declare numeric(p,s), or text",
        )
    whole = BARE_PRECISION - BARE_SCALE
    if number and number.adjusted() >= whole:
        raise BadValueError(
            value,
            f"does not fit: a numeric without sizes has {whole} digits before the point on {database}; declare "
            "numeric(p,s), or text",
        )
