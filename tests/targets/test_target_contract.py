"""The promises every target keeps, whatever it is made of; a new kind of target joins `KINDS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etlctl.core import context
from etlctl.core.target import Target, exists_in_bulk
from etlctl.db.table_target import TableTarget
from etlctl.outside import default_context
from etlctl.targets import formats
from etlctl.targets.local import LocalTarget
from etlctl.targets.mock import MockTarget
from etlctl.targets.s3 import S3FlagTarget, S3Target

S3_FOLDER = "TEST_S3_FOLDER"
"""Where the fixture says in which folder of a store the targets of this test are."""


def _in_store(name: str) -> str:
    return os.environ[S3_FOLDER] + name


@dataclass(frozen=True)
class Kind:
    """How to make a target by name, how to bring its result about, and whether it holds a file."""

    make: Callable[[str], Any]
    create: Callable[[Any], None]
    is_file: bool = True


def _write_text(target: Any) -> None:
    with target.open("w") as file:
        file.write("content")


def _write_bytes(target: Any) -> None:
    with target.open("w") as file:
        file.write(b"content")


KINDS = {
    "local text": Kind(lambda name: LocalTarget(f"{name}.csv"), _write_text),
    "local bytes": Kind(lambda name: LocalTarget(f"{name}.bin", format=formats.Nop), _write_bytes),
    "local gzip": Kind(lambda name: LocalTarget(f"deep/er/{name}.csv.gz"), _write_text),
    "local bzip2": Kind(lambda name: LocalTarget(f"{name}.csv.bz2"), _write_text),
    "local gzip of bytes": Kind(lambda name: LocalTarget(name, format=formats.Gzip), _write_bytes),
    "local first wins": Kind(lambda name: LocalTarget(name, if_absent=True), _write_text),
    "local rooted": Kind(lambda name: LocalTarget(name, root="fenced"), _write_text),
    "mock": Kind(MockTarget, _write_text),
    "marker": Kind(lambda name: TableTarget("flights", name), TableTarget.touch, is_file=False),
    "marker elsewhere": Kind(
        lambda name: TableTarget(name, "id", "sqlite:///two.db"), TableTarget.touch, is_file=False
    ),
    "mock gzip": Kind(lambda name: MockTarget(f"{name}.gz"), _write_text),
    "s3 text": Kind(lambda name: S3Target(_in_store(f"{name}.csv")), _write_text),
    "s3 bytes": Kind(lambda name: S3Target(_in_store(f"{name}.bin"), format=formats.Nop), _write_bytes),
    "s3 gzip": Kind(lambda name: S3Target(_in_store(f"deep/er/{name}.csv.gz")), _write_text),
    "s3 bzip2": Kind(lambda name: S3Target(_in_store(f"{name}.csv.bz2")), _write_text),
    "s3 first wins": Kind(lambda name: S3Target(_in_store(name), if_absent=True), _write_text),
    "s3 rooted": Kind(lambda name: S3Target(name, root=_in_store("fenced/")), _write_text),
    "s3 flag": Kind(lambda name: S3FlagTarget(_in_store(f"{name}/")), S3FlagTarget.touch, is_file=False),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each kind of target in turn."""
    yield from _ready(request)


@pytest.fixture(params=[name for name, kind in KINDS.items() if kind.is_file])
def file_kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each kind of target that opens as a file in turn."""
    yield from _ready(request)


def _ready(request: pytest.FixtureRequest) -> Iterator[Kind]:
    if not request.param.startswith("s3 "):
        yield KINDS[request.param]
        return
    folder = request.getfixturevalue("s3_url")
    request.getfixturevalue("monkeypatch").setenv(S3_FOLDER, folder)
    with context.use(replace(context.current(), settings=default_context().settings)):
        yield KINDS[request.param]


def _content(kind: Kind, text: str) -> Any:
    return text if kind.make("probe").format.is_text else text.encode()


def _break_off(target: Any, content: Any, error: BaseException) -> None:
    with target.open("w") as file:
        file.write(content)
        raise error


def test_target_exists_once_it_is_made_and_not_before(kind: Kind) -> None:
    """exists() is False, then the result comes about, then it is True, for every target that means the same."""
    target: Target = kind.make("one")
    before = target.exists()

    kind.create(target)

    assert before is False and target.exists() is True and kind.make("one").exists() is True


def test_target_asking_creates_nothing(kind: Kind, names_in: Callable[..., list[str]]) -> None:
    """exists() and updated_at() leave no trace."""
    target: Target = kind.make("one")

    target.exists(), target.updated_at()

    assert names_in() == [] and target.exists() is False


@pytest.mark.parametrize("many", [3, 60])
def test_target_bulk_question_equals_single_ones(kind: Kind, many: int) -> None:
    """exists_many answers in order what exists() answers one by one, few or many at once."""
    targets = [kind.make(f"t{number}") for number in range(many)]
    for target in targets[::3]:
        kind.create(target)

    answers = type(targets[0]).exists_many(targets)

    assert list(answers) == [target.exists() for target in targets] == [number % 3 == 0 for number in range(many)]
    assert list(exists_in_bulk(targets).values()) == list(answers)


def test_target_bulk_question_about_none_is_empty(kind: Kind) -> None:
    """exists_many of nothing asks nothing."""
    assert list(type(kind.make("one")).exists_many([])) == []


def test_target_tells_when_in_aware_utc(kind: Kind) -> None:
    """updated_at() is None before the result is there, then an aware UTC instant, or None where it is not known."""
    target: Target = kind.make("one")
    before = target.updated_at()

    kind.create(target)

    after = target.updated_at()
    assert before is None
    assert after is None or (after.tzinfo is UTC and abs(datetime.now(UTC) - after) < timedelta(minutes=1))


def test_target_reads_well_in_a_message(kind: Kind) -> None:
    """str() names the target on one line, without the escape sequences that its name may hold."""
    shown = str(kind.make("name\x1b[31m\nred"))

    assert "name" in shown and shown.isprintable() and " object at 0x" not in shown


def test_file_target_reads_back_what_was_written(file_kind: Kind) -> None:
    """Content passes unchanged, newlines of every kind included."""
    content = _content(file_kind, "a\r\nb\rc\nü \N{GRINNING FACE}\x00\x85\u2028")
    target = file_kind.make("one")

    with target.open("w") as file:
        file.write(content)

    with target.open("r") as file:
        assert file.read() == content


@pytest.mark.parametrize("size", [0, 1, 8_191, 8_192, 1_000_003])
def test_file_target_keeps_any_length(file_kind: Kind, size: int) -> None:
    """Nothing is lost in a buffer, from an empty file to a megabyte."""
    content = b"0123456789" * (size // 10) + b"x" * (size % 10)
    target = file_kind.make("one")

    with target.open("wb") as file:
        file.write(content)

    with target.open("rb") as file:
        assert file.read() == content


def test_file_target_speaks_text_and_bytes_when_told(file_kind: Kind) -> None:
    """`wt` and `rb` override what the format says about text, not how it is packed."""
    target = file_kind.make("one")

    with target.open("wt") as file:
        file.write("ü\n")

    with target.open("rb") as file:
        assert file.read() == "ü\n".encode()
    with target.open("rt") as file:
        assert file.read() == "ü\n"


def test_file_target_shows_nothing_before_it_is_closed(file_kind: Kind) -> None:
    """A reader never sees a part: the target exists when its writer is closed."""
    target = file_kind.make("one")

    file = target.open("w")
    file.write(_content(file_kind, "half"))
    file.flush()

    assert (target.exists(), file.published) == (False, None)
    file.close()
    assert (target.exists(), file.published, file.closed) == (True, True, True)


def test_file_target_publishes_nothing_after_an_exception(file_kind: Kind, names_in: Callable[..., list[str]]) -> None:
    """F47: an exception out of the `with` block leaves no content and no temporary file."""
    target = file_kind.make("one")
    target.open("w").close()
    target.remove()

    with pytest.raises(KeyboardInterrupt):
        _break_off(target, _content(file_kind, "half"), KeyboardInterrupt())

    assert not target.exists()
    assert [name for name in names_in() if "etlctl-tmp" in name] == []


def test_file_target_keeps_the_old_content_after_an_exception(file_kind: Kind) -> None:
    """F47: what was there before stays as it was."""
    target = file_kind.make("one")
    file_kind.create(target)

    with pytest.raises(RuntimeError, match="the load broke"):
        _break_off(target, _content(file_kind, "new"), RuntimeError("the load broke"))

    with target.open("rt") as file:
        assert file.read() == "content"


def test_file_target_dropped_unclosed_publishes_nothing(file_kind: Kind) -> None:
    """A writer that is garbage is no finished file, and says that it was forgotten."""
    target = file_kind.make("one")
    file = target.open("w")
    file.write(_content(file_kind, "half"))

    with pytest.warns(ResourceWarning, match=r"one.* never closed: discarded"):
        del file

    assert not target.exists()


def test_file_target_closes_twice_as_once(file_kind: Kind) -> None:
    """close() after close(), or in the block, is harmless, and publishes once."""
    target = file_kind.make("one")

    with target.open("w") as file:
        file.close()
        target.remove()
    file.close()

    assert not target.exists()


def test_file_target_can_be_given_up(file_kind: Kind) -> None:
    """discard() closes without publishing, also when close() follows."""
    target = file_kind.make("one")

    with target.open("w") as file:
        file.discard()

    assert not target.exists() and file.published is False


def test_file_target_removes(file_kind: Kind) -> None:
    """remove() makes it absent again; of an absent one it is no error."""
    target = file_kind.make("one")
    file_kind.create(target)

    target.remove()
    target.remove()

    assert not target.exists() and target.updated_at() is None


def test_file_target_reading_nothing_says_so(file_kind: Kind) -> None:
    """Opening an absent target to read is Python's own FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match="one"):
        file_kind.make("one").open("r")


@pytest.mark.parametrize("mode", ["a", "x", "r+", "w+", "", "rw", "br"])
def test_file_target_refuses_to_append_or_update(file_kind: Kind, mode: str) -> None:
    """A target is whole or absent, so only reading and writing anew exist."""
    with pytest.raises(ValueError, match="opens with 'r' or 'w'"):
        file_kind.make("one").open(mode)


def test_file_target_says_what_a_writer_writes(file_kind: Kind) -> None:
    """`name` and `mode` are there for libraries that look: the final path, and a `b` for bytes."""
    target = file_kind.make("one")

    with target.open("wb") as binary, target.open("wt") as text:
        assert (binary.name, binary.mode, text.name, text.mode) == (target.path, "wb", target.path, "w")
