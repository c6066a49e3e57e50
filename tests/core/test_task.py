"""Tasks as an author meets them: identity, requirements, outputs, completeness, decorators, namespaces' effect."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import etlctl
from etlctl import (
    DateParameter,
    DynamicRequirements,
    ExternalTask,
    IntParameter,
    ListParameter,
    Parameter,
    ParameterVisibility,
    Task,
    WrapperTask,
    externalize,
    flatten,
    inherits,
    requires,
)
from etlctl.core.task import Completeness, materialized, outputs_like, outputs_of, requirements_of, tasks_in
from etlctl.errors import BrokenTaskError, MissingParameterError, ParameterError, UnknownParameterError
from running import Shelf


class Load(Task):
    date = DateParameter()
    origin = Parameter(default="EWR")

    def output(self) -> Any:
        return Shelf().target(f"load {self.date}")


DAY = dt.date(2013, 1, 2)


# -- identity


class Noted(Task):
    name = Parameter()
    note = Parameter(default="", significant=False)
    hidden = Parameter(default="", visibility=ParameterVisibility.HIDDEN)
    secret = Parameter(default="", visibility=ParameterVisibility.PRIVATE)


def test_task_equals_another_of_its_class_with_equal_significant_public_values() -> None:
    """Equality and hash go by identity; what is insignificant, hidden or private is no part of it."""
    plain, noted = Noted("a"), Noted("a", note="x", hidden="y", secret="z")
    assert plain == noted
    assert hash(plain) == hash(noted)
    assert plain is not noted, "there is no instance cache: equality is by value"
    assert noted.note == "x"
    assert plain != Noted("b")
    assert len({plain, noted, Noted("b")}) == 2


def test_task_is_unequal_to_other_classes_and_things() -> None:
    """Two classes of one family and values are two tasks, and a task is no string."""
    twin = type("Noted", (Task,), {"name": Parameter(), "__module__": __name__})
    assert twin("a").task_id == Noted("a").task_id
    assert twin("a") != Noted("a")
    assert Noted("a") != "Noted(name=a)"


def test_task_private_values_show_nowhere() -> None:
    """A PRIVATE value is kept out of repr, label, id and public parameters."""
    task = Noted("a", secret="hunter2")
    shown = [repr(task), task.task_label, str(task), task.task_id, str(task.to_str_params(only_public=True))]
    assert not [text for text in shown if "hunter2" in text]
    assert task.secret == "hunter2"


def test_task_parameters_are_fixed_and_other_attributes_free() -> None:
    """Assigning a parameter of a made task is refused; anything else may be kept on it."""
    task = Noted("a")
    with pytest.raises(AttributeError, match=r"Noted\.name is fixed"):
        task.name = "b"
    with pytest.raises(AttributeError):
        del task.name
    task.cache = {"rows": 3}  # type: ignore[attr-defined]  # declared nowhere: a task may keep what it likes
    assert task.cache == {"rows": 3}  # type: ignore[attr-defined]  # as above
    assert task == Noted("a")


def test_task_repr_is_luigis_form_and_label_is_short_and_printable() -> None:
    """`Load(date=2013-01-02, origin=EWR)`; the label leaves out the first name and fixed defaults, and is printable."""
    assert repr(Load(DAY)) == "Load(date=2013-01-02, origin=EWR)"
    assert Load(DAY).task_label == "Load(2013-01-02)"
    assert Load(DAY, origin="JFK").task_label == "Load(2013-01-02, origin=JFK)"
    assert Noted("\x1b]0;x\x07[/red]\r\nFAKE").task_label == r"Noted(\x1b]0;x\x07[/red]\r\nFAKE)"
    assert len(Noted("x" * 500).task_label) < 90


def test_task_label_leaves_out_defaults_that_are_normalised() -> None:
    """`ListParameter(default=[1])` is at its default as (1,), however it was written; one asked anew is not."""

    class Listed(Task):
        items = ListParameter(default=[1])
        day = DateParameter(default=dt.datetime(2013, 1, 2, 3))
        asked = Parameter(default=lambda: "x")

    class Odd(Task):
        number = IntParameter(default="no number")  # type: ignore[arg-type]  # the mistake under test

    assert Listed().task_label == "Listed(asked=x)"
    assert Listed([2], DAY).task_label == "Listed([2], asked=x)"
    assert Odd(5).task_label == "Odd(5)"


def test_task_survives_pickle_and_copy() -> None:
    """A task is a plain value: pickled, copied and back it is equal and has its id."""
    task = Load(DAY)
    assert task.task_id
    assert pickle.loads(pickle.dumps(task)) == task
    assert copy.copy(task) == task
    assert copy.deepcopy(task).task_id == task.task_id


def test_task_from_str_params_is_the_inverse_of_to_str_params() -> None:
    """What a worker is sent makes the same task again, private values included."""
    task = Noted("a", note="x", hidden="y", secret="z")
    again = Noted.from_str_params(task.to_str_params())
    assert again == task
    assert again.param_kwargs == task.param_kwargs == {"name": "a", "note": "x", "hidden": "y", "secret": "z"}


# -- requirements and outputs


def test_flatten_sees_through_structures_in_order() -> None:
    """Leaves of lists, tuples, sets, dict values and generators, as Luigi's flatten; text is a leaf."""
    assert flatten(None) == []
    assert flatten("foo") == ["foo"]
    assert flatten(42) == [42]
    assert flatten({"b": "foo", "a": ["bar", ("troll", None)]}) == ["foo", "bar", "troll"]
    assert flatten(x for x in (1, [2, {3}])) == [1, 2, 3]
    assert flatten(Load) == [Load]


def test_requirements_are_each_once_in_order() -> None:
    """However requires() nests them, direct requirements are a flat list without doubles; deps() is that list."""
    first, second = Load(DAY), Load(dt.date(2013, 1, 3))

    class Report(Task):
        def requires(self) -> Any:
            return {"a": [second, first], "b": (Load(DAY), {"c": second}), "none": None}

    assert requirements_of(Report()) == [second, first]
    assert Report().deps() == [second, first]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (Load, r"the class Load; return a task, Load\(date=…\)"),
        ("Load", r"'Load' \(str\), which is no task"),
        ([Load(DAY), 7], r"7 \(int\), which is no task"),
        ({"a": Load}, r"the class Load"),
        (object(), r"\(object\), which is no task"),
        (b"x", r"b'x' \(bytes\), which is no task"),
        (True, r"True \(bool\)"),
    ],
)
def test_requirements_that_are_no_tasks_are_named(returned: Any, said: str) -> None:
    """A class, a string, a number in requires() is a sentence that names the task and the thing."""

    class Report(Task):
        def requires(self) -> Any:
            return returned

    with pytest.raises(BrokenTaskError, match=r"Report\(\)\.requires\(\) returned .*" + said):
        requirements_of(Report())


@pytest.mark.parametrize("returned", ["data/x.csv", 7, Shelf().target("x").__class__, [None, "x"]])
def test_outputs_that_are_no_targets_are_named(returned: Any) -> None:
    """output() must return things that have exists(); a path as text is told what to return instead."""

    class Report(Task):
        def output(self) -> Any:
            return returned

    with pytest.raises(BrokenTaskError, match=r"Report\(\)\.output\(\) returned .*which is no target.*LocalTarget"):
        outputs_of(Report())


def test_input_mirrors_the_structure_of_requires() -> None:
    """Each task of requires() is replaced by its output; None gives an empty list."""
    shelf = Shelf()

    class File(Task):
        name = Parameter()

        def output(self) -> Any:
            return shelf.target(self.name)

    class Reader(Task):
        wanted: Any = None

        def requires(self) -> Any:
            return self.wanted

    reader = Reader()

    def names(wanted: Any) -> Any:
        reader.wanted = wanted
        return _names(reader.input())

    assert names(File("a")) == "a"
    assert names([File("a"), (File("b"), File("c"))]) == ["a", ("b", "c")]
    assert names({"x": File("a"), "y": [File("b")]}) == {"x": "a", "y": ["b"]}
    assert names(File(name) for name in "ab") == ["a", "b"]
    assert names(None) == []


def _names(structure: Any) -> Any:
    if isinstance(structure, dict):
        return {key: _names(part) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_names(part) for part in structure)
    return structure.name


def test_input_of_no_task_is_an_error() -> None:
    """outputs_like refuses what requirements refuse."""
    with pytest.raises(BrokenTaskError, match="which is no task"):
        outputs_like(["text"])


def test_materialized_keeps_generators_at_any_depth() -> None:
    """A generator inside a dict or list is turned into a list, so that it can be walked for tasks and for inputs."""
    days = [Load(DAY), Load(dt.date(2013, 1, 3))]
    answer = materialized({"days": (day for day in days), "more": [map(copy.copy, days)], "one": (iter(days),)})
    assert answer == {"days": days, "more": [days], "one": (days,)}
    assert tasks_in(answer, days[0], "said") == days
    assert tasks_in(answer, days[0], "said") == days


# -- complete()


class Made(Task):
    def output(self) -> Any:
        return self.outputs

    outputs: Any = None


@pytest.mark.parametrize(
    ("there", "declared", "complete"),
    [
        ("ab", ["a", "b"], True),
        ("a", ["a", "b"], False),
        ("", ["a"], False),
        ("", [], False),
    ],
)
def test_complete_is_that_all_outputs_exist(there: str, declared: list[str], complete: bool) -> None:
    """All outputs exist; without outputs a task is never complete."""
    shelf = Shelf(*there)
    task = Made()
    task.outputs = {name: [shelf.target(name)] for name in declared}
    assert task.complete() is complete


def test_complete_of_a_wrapper_is_that_of_its_requirements() -> None:
    """A WrapperTask is complete when all it requires is, wrappers in it included."""
    shelf = Shelf("a")

    class One(Task):
        name = Parameter()

        def output(self) -> Any:
            return shelf.target(self.name)

    class Inner(WrapperTask):
        def requires(self) -> Any:
            return [One("a"), One("b")]

    class Outer(WrapperTask):
        def requires(self) -> Any:
            return Inner()

    assert Outer().complete() is False
    shelf.names.add("b")
    assert Outer().complete() is True


def test_completeness_tells_who_answers() -> None:
    """Classes with outputs, wrappers and own complete() are told apart, mixins included."""

    class Mixin:
        def complete(self) -> bool:
            return True

    class Mixed(Mixin, Task):
        pass

    class Wrapped(WrapperTask):
        pass

    class External(ExternalTask):
        pass

    assert Load.completeness() is Completeness.OUTPUTS
    assert Wrapped.completeness() is Completeness.REQUIREMENTS
    assert Mixed.completeness() is Completeness.OWN
    assert External.completeness() is Completeness.OUTPUTS


# -- external


def test_external_task_has_no_run() -> None:
    """An ExternalTask, a class with run = None, and what externalize() makes are external."""

    class Feed(ExternalTask):
        pass

    class Bare(Task):
        run: Any = None

    assert Feed().is_external
    assert Bare().is_external
    assert not Load(DAY).is_external


def test_externalize_leaves_the_original_as_it_is() -> None:
    """externalize(task) and externalize(Class) give the same task without its run(); the original keeps its own."""
    task = Load(DAY)
    twin = externalize(task)
    cls = externalize(Load)
    assert twin.is_external
    assert twin == task
    assert twin.task_id == cls(DAY).task_id == task.task_id
    assert cls(DAY).is_external
    assert not task.is_external
    assert not Load(DAY).is_external


def test_externalize_keeps_the_family_although_the_namespace_has_changed() -> None:
    """The external twin is asked for under the id the original had."""
    etlctl.namespace("shop", scope=__name__)
    try:

        class Priced(Task):
            pass

    finally:
        etlctl.namespace(scope=__name__)
    assert externalize(Priced)().task_id == Priced().task_id
    assert externalize(Priced).task_family == "shop.Priced"


# -- clone


class Report(Task):
    date = DateParameter()
    limit = IntParameter(default=5)


def test_clone_hands_on_what_both_have() -> None:
    """The shared parameters go over, keywords override, the rest takes its default."""
    report = Report(DAY, 7)
    assert report.clone(Load) == Load(DAY)
    assert report.clone(Load, origin="JFK") == Load(DAY, "JFK")
    assert report.clone() == report
    assert report.clone() is not report
    assert report.clone(limit=8) == Report(DAY, 8)


def test_clone_hands_on_a_plain_value_too() -> None:
    """As in Luigi a parameter that the class overrides by a plain value is handed on with that value."""

    class FromJfk(Task):
        date = DateParameter()
        origin = "JFK"

    assert FromJfk(DAY).clone(Load) == Load(DAY, "JFK")


def test_clone_does_not_hand_on_what_every_task_has() -> None:
    """`priority` or `tags` of this task are no value for another task's parameter of that name."""

    class Tagged(Task):
        tags = Parameter(default="none")

    assert Report(DAY).clone(Tagged).tags == "none"


def test_clone_names_a_keyword_that_the_class_has_not() -> None:
    """A mistyped keyword is an error that suggests, not a task with a default."""
    with pytest.raises(UnknownParameterError, match="Did you mean 'origin'"):
        Report(DAY).clone(Load, orign="JFK")


# -- @inherits and @requires


class Upper(Task):
    a = Parameter()
    b = Parameter(default="b")


def test_requires_puts_the_required_ones_parameters_first() -> None:
    """The positional order is by creation of the Parameter objects, as in Luigi."""

    @requires(Upper)
    class Lower(Task):
        c = Parameter(default="c")

    lower: Any = Lower("1", "2", "3")
    assert Lower.get_param_names() == ["a", "b", "c"]
    assert (lower.a, lower.b, lower.c) == ("1", "2", "3")
    assert lower.requires() == Upper("1", "2")


def test_requires_moves_a_redeclared_parameter_last() -> None:
    """A parameter that the class declares itself is its own, made later."""

    @requires(Upper)
    class Lower(Task):
        c = Parameter(default="c")
        a = Parameter(default="own")

    assert Lower.get_param_names() == ["b", "c", "a"]
    assert Lower().requires() == Upper("own", "b")


def test_requires_hands_a_plain_override_on_and_drops_the_parameter() -> None:
    """`a = "5"` removes the parameter; what is required still gets the value."""

    @requires(Upper)
    class Lower(Task):
        a = "5"

    assert Lower.get_param_names() == ["b"]
    assert Lower().requires() == Upper("5", "b")


def test_plain_override_in_a_subclass_removes_the_parameter() -> None:
    """`b = "x"` in a subclass is no parameter any more, and giving it is an error."""

    class Fixed(Upper):
        b = "x"

    assert Fixed.get_param_names() == ["a"]
    assert Fixed("1").b == "x"
    with pytest.raises(UnknownParameterError, match=r"Fixed has no parameter 'b'"):
        Fixed("1", b="y")


class Second(Task):
    z = Parameter(default="z")


def test_requires_several_gives_a_list_and_named_ones_a_dict() -> None:
    """As in Luigi: one task bare, several a list, named ones a dict even when it is one."""

    @requires(Upper, Second)
    class Listed(Task):
        pass

    @requires(up=Upper, down=Second)
    class Named(Task):
        pass

    @requires(up=Upper)
    class NamedAlone(Task):
        pass

    assert Listed(a="1").requires() == [Upper("1"), Second()]
    assert Named(a="1").requires() == {"up": Upper("1"), "down": Second()}
    assert NamedAlone(a="1").requires() == {"up": Upper("1")}


def test_inherits_gives_parameters_and_clones_but_no_requires() -> None:
    """@inherits adds what is missing, clone_parent() and clone_parents(); requires() stays the class's own."""

    @inherits(Upper, Second)
    class Lower(Task):
        pass

    lower: Any = Lower("1")
    assert lower.requires() == []
    assert lower.clone_parent() == Upper("1")
    assert lower.clone_parents() == [Upper("1"), Second()]
    assert lower.clone_parent(b="9") == Upper("1", "9")
    assert lower.clone_parents(z="8") == [Upper("1"), Second("8")]


def test_requires_reaches_through_levels_and_subclasses() -> None:
    """Parameters pass on through a chain of @requires, and a subclass requires what its base requires."""

    @requires(Upper)
    class Middle(Task):
        m = Parameter(default="m")

    @requires(Middle)
    class Lowest(Task):
        pass

    class Derived(Lowest):
        extra = Parameter(default="e")

    assert Lowest.get_param_names() == ["a", "b", "m"]
    derived: Any = Derived("1")
    assert derived.requires().requires() == Upper("1")


def test_requires_refuses_what_is_no_task_class() -> None:
    """@requires without parentheses' worth, of an instance, and both ways at once are TypeErrors in words."""
    with pytest.raises(TypeError, match="take task classes"):
        requires()
    with pytest.raises(TypeError, match="take task classes"):
        requires(Upper("1"))  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TypeError, match="take task classes"):
        inherits(int)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TypeError, match="by position or by name, not both"):
        requires(Upper, second=Second)


# -- parameters of a task


def test_task_missing_parameter_names_task_and_parameter() -> None:
    """A parameter without default that is not given: both ways to give it are in the sentence."""
    with pytest.raises(MissingParameterError, match=r"Load needs date: give --date .* Load\(date=…\)"):
        Load()


def test_task_default_is_asked_each_time_a_task_is_made() -> None:
    """A callable default does not freeze: two tasks made on two days are two tasks."""
    days: Iterator[dt.date] = iter([dt.date(2013, 1, 1), dt.date(2013, 1, 2)])

    class Daily(Task):
        date = DateParameter(default=lambda: next(days))

    assert [Daily().date, Daily().date] == [dt.date(2013, 1, 1), dt.date(2013, 1, 2)]


def test_dynamic_requirements_hold_what_they_are_given() -> None:
    """Luigi's class: requirements, and a cheaper way to tell that all are complete."""
    wanted = DynamicRequirements([Load(DAY)], custom_complete=lambda complete: True)
    assert wanted.requirements == [Load(DAY)]
    assert wanted.custom_complete is not None


@pytest.mark.parametrize("name", ["run", "requires", "complete", "clone"])
def test_a_parameter_that_hides_a_method_is_refused(name: str) -> None:
    """Where the class is made, and not by an `int` that is called in the middle of a build."""
    with pytest.raises(ParameterError, match=rf"Bad: the parameter {name} hides the method \w+\.{name}\(\)"):
        type("Bad", (Task,), {name: IntParameter()})
