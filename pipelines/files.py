"""What is delivered from elsewhere: the files under data/. etlctl waits for them; it does not make them."""

from etlctl import DateParameter, ExternalTask, LocalTarget, Parameter


class FlightsFile(ExternalTask):
    """The day's departures from New York, as the feed delivers them."""

    date = DateParameter(description="local day of departure")

    def output(self):
        return LocalTarget(f"data/flights/{self.date}.csv.gz")


class WeatherFile(ExternalTask):
    """The day's weather at the three airports, hour by hour."""

    date = DateParameter(description="local day of the observations")

    def output(self):
        return LocalTarget(f"data/weather/{self.date}.csv.gz")


class ReferenceFile(ExternalTask):
    """A small table that changes now and then: airlines, airports, planes."""

    name = Parameter(description="file name under data/")

    def output(self):
        return LocalTarget(f"data/{self.name}")
