"""The commit that a run is of."""

from __future__ import annotations

from pathlib import Path

from etlctl.db.state.provenance import code_version


def test_code_version_is_read_from_the_files_of_git(tmp_path: Path) -> None:
    """A branch, a packed branch, a detached head, no repository."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    project = tmp_path / "work" / "deep"
    project.mkdir(parents=True)
    assert code_version(project) is None

    git = tmp_path / "work" / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{commit} refs/heads/main\n")
    packed = code_version(project)
    (git / "refs/heads/main").write_text(f"{commit[::-1]}\n")
    loose = code_version(project)
    (git / "HEAD").write_text(f"{commit}\n")

    assert (packed, loose, code_version(project)) == (commit, commit[::-1], commit)
