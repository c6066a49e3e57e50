"""What `from etlctl import …` hands out, and what it costs."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import etlctl

HEAVY = ("sqlalchemy", "click", "rich", "boto3", "botocore", "psycopg2", "pandas")


def fresh(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_face_every_name_can_be_had() -> None:
    """Each name of __all__ is there, and dir() shows them."""
    for name in etlctl.__all__:
        assert getattr(etlctl, name) is not None, name
    assert set(dir(etlctl)) == set(etlctl.__all__)


def test_public_face_its_three_lists_are_one() -> None:
    """__all__, the table of homes and what type checkers are shown name the same, from the same modules."""
    tree = ast.parse(Path(etlctl.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    shown = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown.pop("format") == "etlctl.targets"  # a module, handed out beside the names
    assert shown == etlctl._HOMES
    assert {*etlctl._HOMES, "__version__"} == set(etlctl.__all__)
    assert len(etlctl.__all__) == len(set(etlctl.__all__))


def test_public_face_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there, as of any module; `from etlctl import X` says ImportError."""
    with pytest.raises(AttributeError, match="module 'etlctl' has no attribute 'LoadTabel'"):
        _ = etlctl.LoadTabel  # type: ignore[attr-defined]  # the mistake under test
    with pytest.raises(ImportError, match="cannot import name 'LoadTabel'"):
        exec("from etlctl import LoadTabel")


def test_public_face_a_star_import_gives_all() -> None:
    """`from etlctl import *` in a fresh process hands out every name."""
    assert fresh("from etlctl import *; import etlctl; print(set(etlctl.__all__) <= set(globals()))") == "True\n"


def test_public_face_importing_it_imports_nothing_else() -> None:
    """`import etlctl` alone loads no other module of ours."""
    code = "import etlctl, sys; print([m for m in sys.modules if m.startswith('etlctl.')])"
    assert fresh(code) == "[]\n"


def test_public_face_classes_of_a_pipeline_need_no_heavy_library() -> None:
    """All names together import neither SQLAlchemy nor click, rich, boto3, psycopg2 or pandas."""
    code = f"from etlctl import *; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert fresh(code) == "[]\n"


def test_public_face_a_pipeline_on_s3_needs_no_threads_and_no_tls() -> None:
    """Nor HTTP: `etlctl list` of targets in S3 asks nobody, and `concurrent.futures` alone costs 20 ms."""
    names = "S3Target, S3FlagTarget, S3Client, LoadTable"
    heavy = (*HEAVY, "concurrent.futures", "hashlib", "logging", "urllib3", "s3transfer")
    code = f"from etlctl import {names}; import sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert fresh(code) == "[]\n"


def modules() -> list[str]:
    return [found.name for found in pkgutil.walk_packages(etlctl.__path__, "etlctl.")]


@pytest.mark.parametrize("part", range(2))
def test_public_face_each_module_can_be_imported_first(part: int) -> None:
    """No module leans on another having been imported before: each is the first in an interpreter forked for it."""
    code = (
        "import importlib, json, os, sys\n"
        "import click, rich.live, sqlalchemy  # once, and not in every child\n"
        "failed = []\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error), flush=True)\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    if os.waitpid(child, 0)[1]:\n"
        "        failed.append(name)\n"
        "print(failed)\n"
    )
    names = [name for name in modules() if not name.endswith("__main__")][part::2]
    assert len(names) > 5

    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names)], capture_output=True, text=True, check=True, timeout=280
    )

    assert done.stdout == "[]\n"
