"""What Redshift lacks of PostgreSQL, as far as a program for PostgreSQL would use it by mistake: refused here.

https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html (and -functions, -datatypes).
"""

from __future__ import annotations

from collections.abc import Sequence

from servers.redshift.errors import (
    SYNTAX,
    UNSUPPORTED,
    Refusal,
    no_function,
    no_setting,
    syntax,
    unsupported,
)
from servers.redshift.words import Token, closing, depth_0, names, position_of, starts

SETTINGS = names(
    "search_path statement_timeout datestyle extra_float_digits timezone client_encoding application_name "
    "client_min_messages session_authorization transaction_isolation transaction_read_only"
)
"""That both know."""
OWN_SETTINGS = names(
    "query_group analyze_threshold_percent wlm_query_slot_count enable_result_cache_for_session "
    "json_serialization_enable json_serialization_parse_nested_strings describe_field_name_in_uppercase "
    "enable_case_sensitive_identifier enable_case_sensitive_super_attribute downcase_delimited_identifier "
    "error_on_nondeterministic_update max_cursor_result_set_size stored_proc_log_min_messages use_fips_ssl "
    "enable_numeric_rounding auto_mv enable_vacuum_boost mv_enable_aqmv_for_session spectrum_query_maxerror"
)
"""That only Redshift knows."""
IGNORED_SETTINGS = frozenset(("default_transaction_isolation", "default_transaction_read_only"))
"""psycopg2 sets them in autocommit."""

_NO_COMMAND = (
    "savepoint",
    "release",
    "create index",
    "create unique",
    "create sequence",
    "create trigger",
    "create domain",
    "create extension",
    "create rule",
    "create tablespace",
    "create type",
    "create aggregate",
    "create operator",
    "create conversion",
    "create constraint",
    "alter sequence",
    "alter index",
    "drop index",
    "drop sequence",
    "drop trigger",
    "drop extension",
    "prepare transaction",
    "listen",
    "notify",
    "unlisten",
    "cluster",
    "reindex",
    "checkpoint",
)
_NO_WORD = ("do", "discard", "values", "table", "import", "security")
"""Words that begin no statement of PostgreSQL 8.0."""
_NO_FUNCTIONS = names(
    "pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock pg_try_advisory_xact_lock "
    "pg_advisory_lock_shared pg_advisory_xact_lock_shared pg_try_advisory_lock_shared pg_advisory_unlock "
    "pg_advisory_unlock_all pg_sleep pg_sleep_for to_regclass to_regtype to_regproc string_agg array_agg "
    "json_agg jsonb_agg json_build_object jsonb_build_object row_to_json to_json to_jsonb "
    "jsonb_populate_recordset json_populate_recordset regexp_split_to_table string_to_table clock_timestamp "
    "statement_timestamp transaction_timestamp txid_current pg_current_xact_id pg_snapshot_xmin "
    "pg_current_snapshot pg_blocking_pids pg_current_wal_lsn gen_random_uuid make_date make_timestamp "
    "make_interval num_nonnulls num_nulls format pg_notify xmlelement encode_jsonb"
)
_NO_TYPES = names("json jsonb uuid bytea xml inet cidr macaddr money tsvector tsquery bit hstore")
_LOCKS = ("update", "share", "no", "key")
_WRITES = ("insert", "update", "delete", "merge")


def check(sql: str, words: Sequence[Token]) -> None:
    """Raises `Refusal` for a statement that Redshift would refuse."""
    _check_command(sql, words)
    for index, token in enumerate(words):
        if token.kind == "word":
            _check_word(words, index)
    _check_clauses(words)
    _check_by_first_word(words)


def _check_command(sql: str, words: Sequence[Token]) -> None:
    text = " ".join(token.low for token in words[:2])
    for command in _NO_COMMAND:
        if text == command or text.startswith(command + " "):
            raise Refusal(f'SQL command "{sql.strip()}" not supported.')
    if starts(words, "rollback") and any(token.low == "to" for token in words[1:3]):
        raise Refusal(f'SQL command "{sql.strip()}" not supported.')
    if words[0].low in _NO_WORD:
        raise syntax(words[0].text)


def _check_word(words: Sequence[Token], index: int) -> None:
    word = words[index].low
    after = words[index + 1].text if index + 1 < len(words) else ""
    before = words[index - 1].text if index else ""
    if after == "(" and word in _NO_FUNCTIONS:
        raise no_function(word)
    if before == "::" and word in _NO_TYPES:
        raise Refusal(f'type "{word}" does not exist', "42704")
    if word == "array" and after == "[":
        raise unsupported("ARRAY constructor")
    if word == "filter" and after == "(" and before == ")":
        raise syntax("(")
    if word == "values" and before == "(":
        raise syntax(words[index].text)
    if word == "set_config" and after == "(" and index + 2 < len(words) and words[index + 2].kind == "string":
        check_setting(words[index + 2].value)


def _check_clauses(words: Sequence[Token]) -> None:
    if position_of(words, "on", "conflict") is not None:
        raise syntax("on")
    if position_of(words, "distinct", "on") is not None:
        raise unsupported("SELECT DISTINCT ON")
    if (at := position_of(words, "lateral")) is not None:
        raise syntax(words[at].text)
    for index, token in enumerate(words[:-1]):
        if token.low == "for" and words[index + 1].low in _LOCKS and not starts(words, "create"):
            raise unsupported("SELECT FOR UPDATE/SHARE")
    for write in _WRITES:
        if (at := position_of(words, "as", "(", write)) is not None:
            raise syntax(words[at + 2].text)
    writes = words[0].low in _WRITES or starts(words, "with")
    if writes and (at := position_of(words, "returning")) is not None:
        raise syntax(words[at].text)
    is_stored = words[0].low in (*_WRITES, "create")
    if is_stored and position_of(words, "generate_series", "(") is not None:
        raise Refusal("Specified types or functions (one per INFO message) not supported on Redshift tables.")


def _check_by_first_word(words: Sequence[Token]) -> None:
    match words[0].low:
        case "lock":
            _refuse_words(words, "in", "nowait", "only")
        case "truncate":
            _refuse_words(words, ",", "cascade", "restrict", "restart", "continue", "only")
        case "begin" | "start":
            _refuse_words(words, "deferrable")
        case "declare":
            _check_cursor(words)
        case "merge":
            _check_merge(words)
        case "alter" if starts(words, "alter", "table"):
            _check_alter(words)
        case "create":
            _refuse_words(words, "deferrable", "initially", "unlogged", "concurrently")
            if (at := position_of(words, "on", "commit")) is not None:
                raise syntax(words[at].text)


def _refuse_words(words: Sequence[Token], *refused: str) -> None:
    for token in words[1:]:
        if token.low in refused:
            raise syntax(token.text)


def _check_cursor(words: Sequence[Token]) -> None:
    for index, token in enumerate(words[:-1]):
        if token.low == "for":
            return
        if token.low in ("scroll", "insensitive", "binary") or (token.low == "with" and words[index + 1].low == "hold"):
            raise Refusal(f"DECLARE CURSOR ... {token.text.upper()} is not supported", UNSUPPORTED)


def _check_merge(words: Sequence[Token]) -> None:
    """Redshift's MERGE has exactly one WHEN MATCHED and one WHEN NOT MATCHED, without conditions."""
    whens = [index for index, token in depth_0(words) if token.low == "when"]
    if position_of(words, "remove", "duplicates") is not None:
        raise Refusal("MERGE ... REMOVE DUPLICATES is Redshift's, and unknown to the tests' stand-in")
    kinds = []
    for at in whens:
        negated = words[at + 1].low == "not"
        then = at + 2 + negated
        if words[then].low != "then":
            raise syntax(words[then].text)
        if words[then + 1].low == "do":
            raise syntax(words[then + 1].text)
        kinds.append("not matched" if negated else "matched")
    if sorted(kinds) != ["matched", "not matched"]:
        raise Refusal("MERGE must have exactly one WHEN MATCHED and one WHEN NOT MATCHED clause", SYNTAX)


def _check_alter(words: Sequence[Token]) -> None:
    if starts(words, "alter", "table", "if"):
        raise syntax(words[2].text)
    for action in (("column", "if"), ("add", "if"), ("drop", "if")):
        if (at := position_of(words, *action)) is not None:
            raise syntax(words[at + 1].text)
    for index, token in depth_0(words):
        if token.text == "," and index:
            raise syntax(token.text)
    if (at := position_of(words, "check")) is not None and words[at + 1 : at + 2] and words[at + 1].text == "(":
        raise unsupported("CHECK constraint")


def check_setting(name: str) -> None:
    """Raises for a setting that Redshift has not."""
    if name.lower() not in SETTINGS | OWN_SETTINGS | IGNORED_SETTINGS:
        raise no_setting(name.lower())


def check_unloaded(words: Sequence[Token]) -> None:
    """UNLOAD takes no LIMIT in its outer SELECT (t_Unloading_tables)."""
    if any(token.low == "limit" for _, token in depth_0(words)):
        raise Refusal("LIMIT clause is not supported in the outer SELECT of UNLOAD")
    if position_of(words, "generate_series", "(") is not None:
        raise Refusal("Specified types or functions (one per INFO message) not supported on Redshift tables.")


def without_brackets(words: Sequence[Token], opening: int) -> Sequence[Token]:
    """What stands between a bracket and its partner."""
    return words[opening + 1 : closing(words, opening)]
