"""The pytest plugin of etlctl: lets the tests of a project import its `pipelines` package."""
