"""New York's flights and weather of 2013, day by day: the pipeline that the README builds."""
