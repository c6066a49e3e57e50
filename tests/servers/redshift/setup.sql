-- What a new database of the stand-in has beside PostgreSQL's own. All of it lives in pg_catalog: tests that list
-- schemas and tables do not see it, and no search_path hides it.
SET allow_system_table_mods = on;

CREATE TABLE pg_catalog.standin_load_errors (
    userid int, slice int, tbl int, starttime timestamp, session int, query bigint, xid bigint, filename text,
    line_number bigint, colname text, type text, col_length text, "position" int, raw_line text, raw_field_value text,
    err_code int, err_reason text
);

-- https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html
CREATE VIEW pg_catalog.stl_load_errors AS SELECT
    userid, slice, tbl, starttime, session, query::int AS query, filename::char(256) AS filename, line_number,
    colname::char(127) AS colname, type::char(10) AS type, col_length::char(10) AS col_length, "position",
    raw_line::char(1024) AS raw_line, raw_field_value::char(1024) AS raw_field_value, err_code,
    err_reason::char(100) AS err_reason, 0 AS is_partial, 0::bigint AS start_offset
FROM pg_catalog.standin_load_errors;

-- https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html
CREATE VIEW pg_catalog.sys_load_error_detail AS SELECT
    userid AS user_id, query AS query_id, xid AS transaction_id, session AS session_id,
    current_database()::char(64) AS database_name, tbl AS table_id, starttime AS start_time,
    filename::char(256) AS file_name, line_number, colname::char(127) AS column_name, type::char(10) AS column_type,
    col_length::char(10) AS column_length, "position", err_code AS error_code, err_reason::char(512) AS error_message
FROM pg_catalog.standin_load_errors;

GRANT SELECT ON pg_catalog.stl_load_errors, pg_catalog.sys_load_error_detail TO public;

CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS
    $$SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), '
        'Redshift 1.0.200094'$$;
CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
    $$SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')$$;
CREATE FUNCTION pg_catalog.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS
    $$SELECT transaction_timestamp() AT TIME ZONE 'UTC'$$;
CREATE FUNCTION pg_catalog.len(text) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$SELECT length($1)$$;

CREATE FUNCTION pg_catalog.standin_number(name text) RETURNS bigint LANGUAGE sql STABLE AS
    $$SELECT coalesce(nullif(current_setting('redshift_standin.' || name, true), ''), '0')::bigint$$;
CREATE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE sql STABLE AS
    $$SELECT pg_catalog.standin_number('copy_count')$$;
CREATE FUNCTION pg_catalog.pg_last_copy_id() RETURNS int LANGUAGE sql STABLE AS
    $$SELECT coalesce(nullif(pg_catalog.standin_number('copy_id'), 0), -1)::int$$;
CREATE FUNCTION pg_catalog.pg_last_unload_count() RETURNS bigint LANGUAGE sql STABLE AS
    $$SELECT pg_catalog.standin_number('unload_count')$$;
CREATE FUNCTION pg_catalog.pg_last_unload_id() RETURNS int LANGUAGE sql STABLE AS
    $$SELECT coalesce(nullif(pg_catalog.standin_number('unload_id'), 0), -1)::int$$;
CREATE FUNCTION pg_catalog.pg_last_query_id() RETURNS int LANGUAGE sql STABLE AS
    $$SELECT coalesce(nullif(pg_catalog.standin_number('query_id'), 0), -1)::int$$;

-- VARCHAR(n) counts bytes: a constraint says so for each column that has none yet.
CREATE FUNCTION pg_catalog.standin_count_bytes(wanted regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found record;
BEGIN
    FOR found IN
        SELECT a.attname, a.attnum, a.atttypmod - 4 AS size FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
        WHERE a.attrelid = wanted AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypmod > 4
            AND a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                WHERE k.conrelid = wanted AND k.conname = 'standin_bytes_' || a.attnum)
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT standin_bytes_%s CHECK (octet_length(%I) <= %s)',
            wanted, found.attnum, found.attname, found.size);
    END LOOP;
END $$;
CREATE FUNCTION pg_catalog.standin_forget_bytes(wanted regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found record;
BEGIN
    FOR found IN SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = wanted AND conname LIKE 'standin_bytes_%'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', wanted, found.conname);
    END LOOP;
END $$;
