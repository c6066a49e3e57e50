"""S7 and S8: a path from outside stays in its root, and nobody can guess, or plant a link at, a temporary name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.errors import TaskError
from etlctl.targets.local import LocalTarget
from etlctl.targets.publish import PendingFile, staged
from etlctl.targets.temporaries import parse_temporary, random_token, temporary_beside

UP = [
    "..", "../", "../x", "../../x", "../../../../../../etc/passwd", "a/../../x", "a/b/../../../x", "./../x",
    ".//..//x", "a/..", "a/../x", "../fenced/x", "../fenced-other/x", "../outside/victim", "a/./../../x", "..//x",
    "a//../..//x", "a/b/c/../../../../x", "\n/../../x", " /../../x", "-/../../x", "~/../../x", "%2e%2e/../../x",
    "x/..\x00", "../\x1b[2J", "🦆/../../x",
]  # fmt: skip
ABSOLUTE = [
    "/", "//", "/etc/passwd", "//etc/passwd", "///etc/passwd", "/tmp/x", "/./etc/passwd", "/../etc/passwd",
    "/proc/self/environ", "/dev/null", "/dev/stdout", "/\x00", "/ ",
]  # fmt: skip
EMPTY = ["", ".", "./", "./.", ".//", "\x00", "x\x00", "x\x00/../..", "\x00/etc/passwd", "x\x00.csv"]
LINKED = [
    "out/victim", "out/new", "out/deep/new", "out/", "out", "loop-out/victim", "file-out", "dangling-out",
    "dangling-out/x", "up/victim", "up/outside/victim", "in/../out/victim", "here/out/victim", "here/here/out/new",
    "root-link/etc/new", "sibling/new",
]  # fmt: skip
ADDRESSES = ["file:///etc/passwd", "s3://bucket/key", "http://x/../../etc/passwd"]
HARMLESS = [
    "...", "..x", "x..", "....//x", "..\\..\\x", "C:\\x", "~", "~root/x", "%2e%2e/x", "..%2fx", "..;/x",
    "$HOME", "`id`", "$(id)", "|id", "-rf", "*", "\uff0e\uff0e/x", "\u2025/x", " ..", ".. /x",
    "here/x", "\n", "\x1b[2J",
]  # fmt: skip


@pytest.fixture
def fenced(project: Path) -> Iterator[Path]:
    """A root, and a folder outside it with a victim; links from inside to outside, and harmless ones."""
    root, outside = project / "fenced", project / "outside"
    root.mkdir()
    (project / "fenced-sibling").mkdir()
    outside.mkdir()
    (outside / "victim").write_text("precious")
    (root / "in").mkdir()
    links: dict[str, str | Path] = {
        "out": outside, "up": project, "file-out": outside / "victim", "dangling-out": outside / "made", "here": ".",
        "loop-out": "out", "sibling": "../fenced-sibling", "root-link": "/",
    }  # fmt: skip
    for name, to in links.items():
        (root / name).symlink_to(to)
    before = _everything_outside(project)
    yield root
    assert _everything_outside(project) == before, "something outside the root was touched"


def _everything_outside(project: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(project):
        if folder == str(project):
            folders.remove("fenced")
        found.update({os.path.join(folder, name): (Path(folder) / name).read_bytes() for name in files})
        found.update({os.path.join(folder, name): None for name in folders})
    return found


def test_payloads_are_sixty_and_more() -> None:
    """S7 asks for sixty."""
    assert len(UP + ABSOLUTE + EMPTY + LINKED) >= 60


@pytest.mark.parametrize("payload", UP + ABSOLUTE + EMPTY + LINKED + ADDRESSES)
def test_root_refuses_what_leads_out(payload: str, fenced: Path) -> None:
    """S7: refused where the target is made, in one printable sentence that says why."""
    with pytest.raises(
        TaskError, match=r"absolute|'\.\.'|the root itself|symbolic link|NUL|empty|an address"
    ) as caught:
        LocalTarget(payload, root="fenced")

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("payload", HARMLESS)
def test_root_takes_what_only_looks_dangerous(payload: str, fenced: Path) -> None:
    """S7: any text is a legal value; what stays inside is written inside, under its very name."""
    target = LocalTarget(payload, root="fenced")

    with target.open("w") as file:
        file.write("content")

    assert target.exists() and Path(os.path.realpath(target.path)).is_relative_to(fenced)


@pytest.mark.parametrize(
    "use", ["open to write", "open to read", "temporary_path", "exists", "remove", "updated_at", "makedirs"]
)
def test_root_is_held_when_a_link_appears_later(use: str, fenced: Path) -> None:
    """S7: each use looks again, not only the making of the target."""
    target = LocalTarget("later/victim", root=fenced)
    (fenced / "later").symlink_to("../outside")
    act = {
        "open to write": lambda: target.open("w"),
        "open to read": lambda: target.open("r"),
        "temporary_path": lambda: target.temporary_path().__enter__(),
    }.get(use, lambda: getattr(target, use)())

    with pytest.raises(TaskError, match=r"leads out of its root /.*fenced by a symbolic link"):
        act()

    answer = LocalTarget.exists_many([target, LocalTarget("in", root=fenced)])
    assert isinstance(answer[0], TaskError) and answer[1] is True


@given(
    st.text("./\\~ax\x00\n", max_size=12)
    | st.lists(st.sampled_from(["..", ".", "", "a", "out", "here", "\x00"]), max_size=6).map("/".join)
)
def test_root_holds_for_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """S7: whatever the text, it is refused or it is inside."""
    root = tmp_path_factory.getbasetemp() / "any"
    root.mkdir(exist_ok=True)
    if not os.path.lexists(root / "out"):
        (root / "out").symlink_to("..")
        (root / "here").symlink_to(".")

    try:
        path = LocalTarget(text, root=root).path
    except TaskError:
        return

    assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def test_root_may_itself_be_reached_by_a_link(project: Path) -> None:
    """The root is where its owner says, links above it included."""
    (project / "real").mkdir()
    (project / "link").symlink_to("real")

    with LocalTarget("x", root="link").open("w") as file:
        file.write("content")

    assert (project / "real/x").read_text() == "content"


def test_temporary_names_cannot_be_guessed_nor_repeat() -> None:
    """S8: 64 random bits each time, unlike Luigi's random.randrange."""
    tokens = {random_token() for _ in range(1_000)}

    assert len(tokens) == 1_000 and all(len(token) == 16 for token in tokens)


def test_planted_link_at_a_temporary_name_is_never_followed(project: Path) -> None:
    """S8: even a guessed name is refused (O_EXCL, O_NOFOLLOW): another is taken, the victim is untouched."""
    victim = project / "victim"
    victim.write_text("precious")
    planted = [temporary_beside("x.csv", keep_suffix=False, token=partial(str, one)) for one in ("0" * 16, "1" * 16)]
    Path(planted[0]).symlink_to("victim")
    Path(planted[1]).write_text("a file in the way")
    tokens = iter(["0" * 16, "1" * 16, "2" * 16])

    pending = PendingFile("x.csv", if_absent=False, token=lambda: next(tokens))
    pending.raw.write(b"content")
    pending.publish()

    assert victim.read_text() == "precious" and Path("x.csv").read_text() == "content"
    assert os.readlink(planted[0]) == "victim" and Path(planted[1]).read_text() == "a file in the way"


def test_all_temporary_names_taken_is_a_sentence(project: Path) -> None:
    """S8: somebody who takes every name stops the task, and no more."""
    Path(temporary_beside("x.csv", keep_suffix=False, token=lambda: "0" * 16)).symlink_to("victim")

    with pytest.raises(
        TaskError, match=r"x\.csv: opening a temporary file beside it failed: .*names in a row were taken"
    ):
        PendingFile("x.csv", if_absent=False, token=lambda: "0" * 16)

    assert not Path("victim").exists()


def test_planted_link_at_a_tools_temporary_path_is_never_published(project: Path) -> None:
    """S8: a tool opens by name and would follow a link; a name given out is one at which nothing was."""
    taken = temporary_beside("x.csv", keep_suffix=True, token=lambda: "0" * 16)
    Path(taken).symlink_to("victim")
    tokens = iter(["0" * 16, "1" * 16])

    with staged("x.csv", if_absent=False, token=lambda: next(tokens)) as stage:
        Path(stage.path).write_text("content")

    assert stage.path != taken and not Path("victim").exists() and Path("x.csv").read_text() == "content"


@pytest.mark.parametrize("name", ["x.csv", "x", ".hidden", "a.etlctl-tmp.b", "ü" * 120, "new\nline", "x" * 255])
@pytest.mark.parametrize("keep_suffix", [False, True])
def test_temporary_name_tells_whose_it_is(name: str, keep_suffix: bool) -> None:
    """A sweep finds the owner in it, and takes no other file for one."""
    temporary = os.path.basename(temporary_beside(f"folder/{name}", keep_suffix=keep_suffix))
    owner = parse_temporary(temporary)

    assert owner is not None and name.startswith(owner.of) and owner.pid == os.getpid()
    assert parse_temporary(name) is None and len(os.fsencode(temporary)) <= 255 and temporary.startswith(".")
