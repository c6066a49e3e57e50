"""What the suffixes of a file's name say: its form, and how it is packed. Opens nothing."""

from __future__ import annotations

PACKINGS = {".gz": "gzip", ".bz2": "bzip2"}
"""Those that we read and write; as COPY and UNLOAD call them."""
PACKED = tuple(PACKINGS)
PACKINGS_OF_COPY = {**PACKINGS, ".zst": "zstd", ".lzo": "lzop"}
"""Those that Redshift reads."""
FORMS = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "json", ".ndjson": "json",
    ".parquet": "parquet", ".avro": "avro",
}  # fmt: skip
"""What can be loaded, here or by a database itself; JSON lines are JSON to COPY."""
