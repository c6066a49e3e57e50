"""The small tables, each replaced as a whole when it is loaded."""

from etlctl import LoadTable, WrapperTask, not_null, replace, unique
from pipelines.files import ReferenceFile


class Airlines(LoadTable):
    """Carrier codes and names."""

    columns = {"carrier": "varchar(2)", "name": "varchar(80)"}
    mode = replace
    checks = [not_null("carrier", "name"), unique("carrier")]

    def requires(self):
        return ReferenceFile("airlines.csv")


class Airports(LoadTable):
    """Where the flights go."""

    columns = {
        "faa": "varchar(4)",
        "name": "varchar(80)",
        "lat": "double precision",
        "lon": "double precision",
        "alt": "integer",
        "tzone": "varchar(40)",
    }
    mode = replace
    null_values = ("", "NA")
    checks = [unique("faa")]

    def requires(self):
        return ReferenceFile("airports.csv")


class Planes(LoadTable):
    """The aircraft, by tail number."""

    columns = {
        "tailnum": "varchar(10)",
        "year": "integer",
        "type": "varchar(40)",
        "manufacturer": "varchar(40)",
        "model": "varchar(40)",
        "engines": "integer",
        "seats": "integer",
        "engine": "varchar(20)",
    }
    mode = replace
    null_values = ("", "NA")
    checks = [unique("tailnum")]

    def requires(self):
        return ReferenceFile("planes.csv.gz")


class Reference(WrapperTask):
    """All small tables."""

    def requires(self):
        return [Airlines(), Airports(), Planes()]
