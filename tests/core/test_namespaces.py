"""Namespaces: what goes before a class name in the task family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import etlctl
from etlctl import Task
from etlctl.core.namespaces import namespace_of


@pytest.fixture(autouse=True)
def cleared() -> Iterator[None]:
    yield
    for scope in ("", __name__, "acme", "acme.etl"):
        etlctl.namespace(scope=scope)


def test_namespace_goes_before_the_class_name() -> None:
    """Classes made in the scope after the call have it in family and id; before and after it they do not."""
    etlctl.namespace("shop", scope=__name__)

    class Inside(Task):
        pass

    etlctl.namespace(scope=__name__)

    class After(Task):
        pass

    assert Inside.task_family == "shop.Inside"
    assert Inside().task_id == "shop.Inside__99914b932b"
    assert After.task_family == "After"


def test_namespace_of_a_module_is_not_handed_to_classes_derived_elsewhere() -> None:
    """A base class in a namespaced module leaves a subclass of another module its own name, as in Luigi."""
    etlctl.namespace("shop", scope=__name__)

    class Base(Task):
        pass

    etlctl.namespace(scope=__name__)

    class Derived(Base):
        pass

    assert Base.task_family == "shop.Base"
    assert Derived.task_family == "Derived"


def test_task_namespace_of_a_class_is_handed_to_its_subclasses_and_is_stronger() -> None:
    """`task_namespace = "x"` in a class body holds for subclasses, whatever their module says; "" is none."""
    etlctl.namespace("shop", scope=__name__)

    class Base(Task):
        task_namespace = "own"

    class Derived(Base):
        pass

    class Bare(Task):
        task_namespace = ""

    assert Derived.task_family == "own.Derived"
    assert Bare.task_family == "Bare"


def test_namespace_of_the_longest_scope_wins() -> None:
    """Scopes hold for whole dotted names: `acme.etl` is below `acme`, `acme2` is not."""
    etlctl.namespace("wide", scope="acme")
    etlctl.namespace("narrow", scope="acme.etl")

    assert namespace_of("acme.etl.flights") == "narrow"
    assert namespace_of("acme.other") == "wide"
    assert namespace_of("acme2") is None


def test_auto_namespace_is_the_modules_dotted_name() -> None:
    """auto_namespace gives each class the name of its module."""
    etlctl.auto_namespace(scope="acme")

    made: type[Task] = type("Load", (Task,), {"__module__": "acme.etl.flights"})

    assert made.task_family == "acme.etl.flights.Load"


def test_an_empty_scope_is_every_module_until_it_is_taken_back() -> None:
    """namespace("x") without scope holds everywhere; namespace() takes it back."""
    etlctl.namespace("all")
    everywhere: type[Task] = type("A", (Task,), {"__module__": "anything"})
    etlctl.namespace()
    nowhere: type[Task] = type("A", (Task,), {"__module__": "anything"})

    assert everywhere.task_family == "all.A"
    assert nowhere.task_family == "A"
