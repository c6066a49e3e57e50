"""The way of a day through a warehouse: flights in PostgreSQL, to S3, into Redshift, summed up there, and out to S3.

    ProductionFlights     the day in `production`, as the application keeps it
    FlightsToLake         COPY … TO STDOUT into s3://…/flights/DATE.csv.gz, nothing on this machine's disk
    LakeFlights           Redshift's COPY of that object, once, under a marker
    DaySummaries          two tables from selects, in one transaction: RouteDelays, DestinationTotals
    RoutesToLake          UNLOAD: s3://…/routes/DATE.csv.gz.manifest, and the parts it names
    Warehouse             all of it for a day

It needs the profile `warehouse` of config/etlctl.toml: docs/warehouse.md.
"""

from etlctl import (
    DumpTable,
    LoadTable,
    Parameter,
    QueryTable,
    Redshift,
    S3Target,
    Sequence,
    WrapperTask,
    inherits,
    not_null,
    replace_where,
    requires,
    row_count,
)
from pipelines.flights import LoadFlights


class ProductionFlights(LoadFlights):
    """A day in the application's own database, which a real pipeline finds there."""

    connection = "production"


@requires(ProductionFlights)
class FlightsToLake(DumpTable):
    """The day's flights as one object in S3."""

    lake = Parameter(description="where objects go: s3://bucket/prefix")
    connection = "production"
    query = """
        SELECT date, carrier, flight, origin, dest, dep_time, dep_delay, arr_delay, distance
        FROM flights
        WHERE date = :date
        ORDER BY carrier, flight, origin, time_hour
    """

    def output(self):
        return S3Target(f"{self.lake}/flights/{self.date}.csv.gz")


@requires(FlightsToLake)
class LakeFlights(LoadTable):
    """The object in Redshift. Loaded again, the day's rows are replaced."""

    connection = "redshift"
    table = "lake_flights"
    columns = {
        "date": "date not null",
        "carrier": "varchar(2)",
        "flight": "integer",
        "origin": "varchar(3)",
        "dest": "varchar(3)",
        "dep_time": "integer",
        "dep_delay": "integer",
        "arr_delay": "integer",
        "distance": "integer",
    }
    mode = replace_where("date")
    redshift = Redshift(distkey="carrier", sortkey=["date"])
    checks = [not_null("carrier", "origin", "dest"), row_count(min=1)]


@requires(LakeFlights)
class RouteDelays(QueryTable):
    """Flights and delays per route and day, made inside Redshift."""

    connection = "redshift"
    table = "route_delays"
    mode = replace_where("date")


@requires(LakeFlights)
class DestinationTotals(QueryTable):
    """Flights and miles per destination and day."""

    connection = "redshift"
    table = "destination_totals"
    query = """
        SELECT date, dest, count(*) AS flights, sum(distance) AS miles
        FROM lake_flights
        WHERE date = :date
        GROUP BY date, dest
    """
    mode = replace_where("date")


@inherits(LakeFlights)
class DaySummaries(Sequence):
    """Both tables of a day in one transaction: who reads one of them finds the other."""

    connection = "redshift"

    def steps(self):
        return [self.clone(RouteDelays), self.clone(DestinationTotals)]


@requires(DaySummaries)
class RoutesToLake(DumpTable):
    """The day's routes back in S3, in parts and with a manifest, for whoever reads them there."""

    connection = "redshift"
    query = "SELECT * FROM route_delays WHERE date = :date"
    part_bytes = 64 * 2**20

    def output(self):
        return S3Target(f"{self.lake}/routes/{self.date}.csv.gz.manifest")


@requires(RoutesToLake)
class Warehouse(WrapperTask):
    """A day from production to the lake."""
