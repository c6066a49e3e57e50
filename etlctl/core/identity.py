"""What tells a task from all others, as text: ids made of its family and its parameters. Knows no task."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_]")


def task_id_str(family: str, params: Mapping[str, str]) -> str:
    """Luigi's id for a family and serialised parameters; see `Task.task_id`."""
    names = sorted(params)
    texts = [params[name] for name in names]
    return task_id_of(family, texts, as_json(json_form(names), texts))


def task_id_of(family: str, texts: Sequence[str], all_as_json: str) -> str:
    """Luigi's id for a family and the texts of its parameters, by alphabet of their names."""
    import hashlib  # 4 ms that a list of tasks need not wait for

    digest = hashlib.md5(all_as_json.encode("utf-8"), usedforsecurity=False).hexdigest()
    summary = "_".join([text[:16] for text in texts[:3]])
    return f"{family}_{_NOT_IN_ID.sub('_', summary)}_{digest[:10]}"


def update_key_of(family: str, all_as_json: str) -> str:
    """SHA-256 (hex) of the whole of what an id keeps 40 bits of."""
    import hashlib  # as above

    text = f"[{_quoted(family)},{all_as_json}]"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def json_form(names: Iterable[str]) -> str:
    """A JSON object of `names` in their order, with a place for the text of each; a class has one for all its tasks."""
    return "{" + ",".join([f"{_quoted(name).replace('%', '%%')}:%s" for name in names]) + "}"


def as_json(form: str, texts: Iterable[str]) -> str:
    """`form` filled in: `json.dumps(…, separators=(",", ":"), sort_keys=True)`, without making an encoder each time."""
    return form % tuple(map(_quoted, texts))


def _quoted(text: str) -> str:
    try:
        return encode_basestring_ascii(text)
    except TypeError:  # a kind of a user's own whose serialize() gives no text
        return json.dumps(text, separators=(",", ":"), sort_keys=True)
