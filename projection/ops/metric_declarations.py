"""Every metric of a node and of a sink, declared once: name, type, unit, labels, and what it says.

`docs/metrics.md` is generated from here, and what is exposed is built from here, so the two cannot differ. Label values
are few and come from the operator or from this package, never from an event or a request.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """How Prometheus treats a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Metric(NamedTuple):
    """One metric; `name` is the family's, without the suffix of its samples."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str  # a sentence, shown in the exposition and in the docs
    unit: str = ""  # a base unit, with which the name ends

    @property
    def sample(self) -> str:
        """The name to query by; a histogram has `_bucket`, `_sum` and `_count` behind it."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")


def _counter(name: str, help_: str, *labels: str, unit: str = "") -> Metric:
    return Metric(f"projection_{name}", Kind.COUNTER, labels, help_, unit)


def _gauge(name: str, help_: str, *labels: str, unit: str = "") -> Metric:
    return Metric(f"projection_{name}", Kind.GAUGE, labels, help_, unit)


def _histogram(name: str, help_: str, *labels: str, unit: str = "") -> Metric:
    return Metric(f"projection_{name}", Kind.HISTOGRAM, labels, help_, unit)


_BUILD = ("view_type", "build")

# --- the node --------------------------------------------------------------------------------------------------------

BUILD_INFO = Metric(
    "projection_build",
    Kind.INFO,
    ("version", "commit", "view_type", "build", "digest"),
    "Always 1, one series for each open build: the package's version, the commit that the container image was built "
    "from (`unknown` elsewhere), and the digest of the build's program.",
)
READY = _gauge("ready", "1 while the node is ready: it follows the log and has caught up with it once.")
EVENTS_TO_GO = _gauge(
    "events_to_go",
    "Messages left until the node has caught up with the log for the first time since it started; 0 afterwards.",
)
CATCH_UP = _gauge(
    "catch_up_seconds",
    "Estimated time until the node has caught up; absent while there is no estimate.",
    unit="seconds",
)
STREAM_UP = _gauge("stream_up", "1 while the log can be read: the server answers, and the stream is the expected one.")
REOPENINGS = _counter("stream_reopenings", "Times that reading the log was interrupted and resumed.")
LOG_CLOCK = _gauge(
    "log_clock_offset_seconds",
    "Time stamp of the newest message minus the node's clock when the message arrived, measured at the end of the "
    "log. Positive: the log's clock is ahead. Negative: delivery took that long, or the log's clock is behind. "
    "Absent until the node has read to the end of the log.",
    unit="seconds",
)
EVENTS = _counter("events", "Messages read. A message that two subscriptions read counts twice.")
BATCH = _histogram("batch_events", "Messages in each batch that was read from the log.")
STAGE = _histogram(
    "stage_seconds",
    "Time that a batch spends in each stage: `receive` (waiting for messages and collecting them), `decode` "
    "(envelopes), `fold` (programs of all view types that share the subscription), `commit` (writing to the store's "
    "memory map, measured for each build), `fsync` (waiting for the disk).",
    "stage",
    unit="seconds",
)
UNHANDLED = _counter(
    "unhandled", "Messages that no program handles, including those in `projection_passed_over_total`."
)
PASSED_OVER = _counter("passed_over", "Messages that are not events, by kind.", "kind")
LOOP_DELAY = _histogram(
    "event_loop_delay_seconds", "How late the event loop ran a timer; sampled about once a second.", unit="seconds"
)
LOOP_STALLS = _counter("event_loop_stalls", "Times that the event loop was blocked for more than 5 seconds.")
LOG_LINES = _counter("log_lines", "Log lines by level, without suppressed ones.", "level")
LOG_SUPPRESSED = _counter(
    "log_lines_suppressed", "Log lines that were counted but not written because they repeated another line."
)
LOG_DROPPED = _counter("log_lines_dropped", "Log lines that could not be written.")
DISK_FREE = _gauge("disk_free_bytes", "Free space on the data folder's disk that the node may use.", unit="bytes")
DISK_SIZE = _gauge("disk_size_bytes", "Size of the data folder's disk.", unit="bytes")

NODE = (
    BUILD_INFO,
    READY,
    EVENTS_TO_GO,
    CATCH_UP,
    STREAM_UP,
    REOPENINGS,
    LOG_CLOCK,
    EVENTS,
    BATCH,
    STAGE,
    UNHANDLED,
    PASSED_OVER,
    LOOP_DELAY,
    LOOP_STALLS,
    LOG_LINES,
    LOG_SUPPRESSED,
    LOG_DROPPED,
    DISK_FREE,
    DISK_SIZE,
)

# --- view types and their builds -------------------------------------------------------------------------------------

SERVES = _gauge(
    "build_serves",
    "1 if the build answers queries; 0 while it is being built or held, and for a former build.",
    *_BUILD,
)
PROGRESS = _gauge(
    "build_progress_ratio",
    "Progress through the log: the build's stored sequence divided by the last known sequence of the log; 1 once it "
    "has caught up. Absent until the end of the log is known.",
    *_BUILD,
    unit="ratio",
)
HELD = _gauge(
    "build_held", "1 if the build has caught up but a gate keeps it from answering; `gate` says which.", *_BUILD, "gate"
)
HALTED = _gauge("halted", "1 if the build has halted: it folds nothing until an operator acts.", *_BUILD)
PAUSED = _gauge("paused", "1 if an operator has paused the view type.", *_BUILD)
SCANNED = _gauge("scanned_sequence", "The last stream sequence whose effect is stored.", *_BUILD)
SCANNED_AT = _gauge(
    "scanned_timestamp_seconds",
    "When the log stored the message with that sequence, in Unix time; absent while unknown.",
    *_BUILD,
    unit="seconds",
)
LAG = _gauge(
    "lag_seconds", "Age of the views; while unknown, the time since the node started.", *_BUILD, unit="seconds"
)
LAG_EVENTS = _gauge(
    "lag_events", "Events behind: messages of the log that are still to be folded; absent while unknown.", *_BUILD
)
FOLDED = _counter("folded_events", "Messages offered to the build's program since the build was opened.", *_BUILD)
GAS = _counter("gas", "Gas that the build's program has used since the build was opened.", *_BUILD)
COMMIT = _histogram(
    "commit_seconds",
    "Time from the beginning of a commit until it is stored, including the wait for other builds' commits.",
    *_BUILD,
    unit="seconds",
)
VIEWS = _gauge("views", "Stored views.", *_BUILD)
PARKED = _gauge(
    "parked_events",
    "Parked and skipped events, by `disposition` (`parked` or `skipped`), class and code of the error. Code `P000` "
    "means waiting behind a parked event of the same view; `unrecorded` counts skipped events of which only the "
    "number is kept.",
    *_BUILD,
    "disposition",
    "class",
    "code",
)
SUSPENDED = _gauge(
    "suspended",
    "Suspended views and tenants: too many of their events are parked, so nothing more is folded for them.",
    *_BUILD,
)
CIRCUIT_OPEN = _gauge(
    "circuit_open",
    "1 while a failing operation is retried with growing pauses: `commit` (writing to the store) or `read` (reading "
    "from it).",
    *_BUILD,
    "circuit",
)
CIRCUIT_FAILURES = _counter(
    "circuit_failures", "Operations that failed and were retried, by circuit.", *_BUILD, "circuit"
)
CACHE_HITS = _counter("view_cache_hits", "Views that a program needed and found in memory.", *_BUILD)
CACHE_MISSES = _counter("view_cache_misses", "Views that a program needed and had to read from the store.", *_BUILD)
CACHE_BYTES = _gauge(
    "view_cache_bytes",
    "Size of the views in memory, as JSON; decoded, they take several times as much.",
    *_BUILD,
    unit="bytes",
)

BUILDS = (
    SERVES,
    PROGRESS,
    HELD,
    HALTED,
    PAUSED,
    SCANNED,
    SCANNED_AT,
    LAG,
    LAG_EVENTS,
    FOLDED,
    GAS,
    COMMIT,
    VIEWS,
    PARKED,
    SUSPENDED,
    CIRCUIT_OPEN,
    CIRCUIT_FAILURES,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_BYTES,
)

# --- stores ----------------------------------------------------------------------------------------------------------

STORE_BYTES = _gauge(
    "store_bytes", "Size of the store's data file; use `deriv()` for its growth.", *_BUILD, unit="bytes"
)
STORE_USED = _gauge("store_used_bytes", "Size of the pages that hold the store's current state.", *_BUILD, unit="bytes")
STORE_FREE_PAGES = _gauge("store_free_pages", "Pages of the data file that later commits can reuse.", *_BUILD)
STORE_MAP = _gauge(
    "store_map_bytes", "Size of the store's memory map, which doubles when it is full.", *_BUILD, unit="bytes"
)
STORE_FILL = _gauge("store_map_fill_ratio", "Share of the memory map that the data file takes.", *_BUILD, unit="ratio")
STORE_READERS = _gauge("store_readers", "Open read transactions of all processes; LMDB has room for 1,024.", *_BUILD)
STORE_OLDEST = _gauge(
    "store_reader_age_transactions",
    "Commits since the oldest open read transaction began. While it grows, no page that was freed since then can be "
    "reused.",
    *_BUILD,
)

STORES = (STORE_BYTES, STORE_USED, STORE_FREE_PAGES, STORE_MAP, STORE_FILL, STORE_READERS, STORE_OLDEST)

# --- queries ---------------------------------------------------------------------------------------------------------

QUERY_TIME = _histogram(
    "query_seconds",
    "Time to answer a query, without the wait for `min_sequence`, by shape: `view` (one view by its id), `ids` "
    "(several), `index` (ranges of an index), `index_sorted` (the same, and all matches are sorted), `scan` (all of "
    "a tenant's views), `scan_sorted`, `past` (a view as of an earlier event).",
    "shape",
    unit="seconds",
)
QUERY_FAILURES = _counter("query_failures", "Queries that were not answered, by error code.", "code")
QUERY_EXAMINED = _counter("query_examined_views", "Views that queries examined, by shape.", "shape")
QUERIES_UNDER_WAY = _gauge(
    "queries_in_progress", "Queries in progress. A view by its id is answered at once and is not counted."
)
FOLLOWERS = _gauge("change_followers", "Open change streams.")
HTTP_REQUESTS = _counter(
    "http_requests",
    "Answered requests, by the endpoint's path template and the status. 499 means that the client had disconnected.",
    "endpoint",
    "status",
)
HTTP_TIME = _histogram(
    "http_request_seconds", "Time from a request's headers to the end of its answer.", "endpoint", unit="seconds"
)

QUERIES = (QUERY_TIME, QUERY_FAILURES, QUERY_EXAMINED, QUERIES_UNDER_WAY, FOLLOWERS, HTTP_REQUESTS, HTTP_TIME)

# --- operations ------------------------------------------------------------------------------------------------------

OPERATIONS = _gauge(
    "operations_in_progress", "Long operations in progress, by kind, such as `backup`, `repair` or `rebuild`.", "kind"
)
BACKUP_AT = _gauge(
    "backup_last_good_timestamp_seconds",
    "When the newest backup was started, in Unix time; absent if there is none.",
    unit="seconds",
)
BACKUP_FAILURES = _counter("backup_failures", "Failed backups since the node started.")

WORK = (OPERATIONS, BACKUP_AT, BACKUP_FAILURES)

# --- the sink, at a port of its own ----------------------------------------------------------------------------------

SINK_CONNECTED = _gauge("sink_connected", "1 while the database is connected.")
SINK_SCANNED = _gauge("sink_scanned_sequence", "Stream sequence up to which the table has all changes.", "view_type")
SINK_LAG_EVENTS = _gauge(
    "sink_lag_events", "Sequences that the node has read beyond that: at most so many events are missing.", "view_type"
)
SINK_LAG = _gauge(
    "sink_lag_seconds", "Time since the table had last caught up with the node.", "view_type", unit="seconds"
)
SINK_ROWS = _counter("sink_rows", "Rows written and deleted.", "view_type")

SINK = (SINK_CONNECTED, SINK_SCANNED, SINK_LAG_EVENTS, SINK_LAG, SINK_ROWS)

# --- the process, by the library; Linux only -------------------------------------------------------------------------


def _process(name: str, kind: Kind, help_: str, unit: str = "") -> Metric:
    return Metric(f"process_{name}", kind, (), help_, unit)


PROCESS = (
    _process("cpu_seconds", Kind.COUNTER, "Processor time of the process.", "seconds"),
    _process(
        "resident_memory_bytes", Kind.GAUGE, "Memory that the process takes; mapped stores are part of it.", "bytes"
    ),
    _process(
        "virtual_memory_bytes", Kind.GAUGE, "Address space of the process; the stores' maps are part of it.", "bytes"
    ),
    _process("start_time_seconds", Kind.GAUGE, "When the process started, in Unix time.", "seconds"),
    _process("open_fds", Kind.GAUGE, "File descriptors that are open."),
    _process("max_fds", Kind.GAUGE, "File descriptors that may be open."),
)

OF_NODE = (*NODE, *BUILDS, *STORES, *QUERIES, *WORK, *PROCESS)
OF_SINK = (*SINK, *PROCESS)
