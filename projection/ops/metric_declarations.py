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
    "Always 1, once for each build that the node has open: the package's version and commit (`unknown` where the "
    "image or the environment does not say it), and the digest of the program that folds the build.",
)
READY = _gauge("ready", "1 while the node follows the log and has caught up with it.")
EVENTS_TO_GO = _gauge(
    "events_to_go",
    "Messages until the node has caught up with the log for the first time since it started; 0 afterwards.",
)
CATCH_UP = _gauge(
    "catch_up_seconds", "Estimated time until the node has caught up; absent while that is not known.", unit="seconds"
)
STREAM_UP = _gauge("stream_up", "1 while the log can be read: the server answers, and the stream is the expected one.")
REOPENINGS = _counter("stream_reopenings", "Times that reading the log was interrupted and begun again.")
LOG_CLOCK = _gauge(
    "log_clock_offset_seconds",
    "Time stamp of the newest message at the end of the log minus the node's clock when it came. Positive: the log's "
    "clock is ahead. Negative: the delivery's delay, or the log's clock is behind. Absent until the node has read to "
    "the end of the log.",
    unit="seconds",
)
EVENTS = _counter("events", "Messages read. One that two subscriptions read counts twice.")
BATCH = _histogram("batch_events", "Messages of each batch that came from the log.")
STAGE = _histogram(
    "stage_seconds",
    "Time of one stage of a batch: `receive` (waiting for messages and gathering them), `decode` (envelopes), `fold` "
    "(programs, for all view types that share the subscription), `commit` (writing into the store's memory map, each "
    "build by itself), `fsync` (waiting for the disk).",
    "stage",
    unit="seconds",
)
UNHANDLED = _counter("unhandled", "Messages that no program handles, those of `projection_passed_over_total` included.")
PASSED_OVER = _counter("passed_over", "Messages that are no events, by the kind of message.", "kind")
LOOP_DELAY = _histogram(
    "event_loop_delay_seconds",
    "How much later than due the event loop came round, looked at about once a second.",
    unit="seconds",
)
LOOP_STALLS = _counter("event_loop_stalls", "Times that the event loop did not come round for 5 seconds.")
LOG_LINES = _counter("log_lines", "Log lines by level, those that were suppressed or dropped left out.", "level")
LOG_SUPPRESSED = _counter(
    "log_lines_suppressed", "Log lines that repeated another one too often and were only counted."
)
LOG_DROPPED = _counter("log_lines_dropped", "Log lines that could not be written.")
DISK_FREE = _gauge("disk_free_bytes", "Room that the data folder's disk has for the node.", unit="bytes")
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
    "build_serves", "1 if this build answers queries; 0 if it is being built, is held, or is a former one.", *_BUILD
)
PROGRESS = _gauge(
    "build_progress_ratio",
    "How far a build has come in the log: 0 at its start, 1 at the end of the log as it was seen last. Absent until "
    "that end was seen.",
    *_BUILD,
    unit="ratio",
)
HELD = _gauge(
    "build_held", "1 where a build has caught up and does not answer yet, by the gate that holds it.", *_BUILD, "gate"
)
HALTED = _gauge("halted", "1 where a build has halted: nothing is folded into it until an operator acts.", *_BUILD)
PAUSED = _gauge("paused", "1 where an operator has paused the view type.", *_BUILD)
SCANNED = _gauge("scanned_sequence", "The last stream sequence whose effect is stored.", *_BUILD)
SCANNED_AT = _gauge(
    "scanned_timestamp_seconds",
    "When the log stored the message of that sequence, in Unix time; absent while that is not known.",
    *_BUILD,
    unit="seconds",
)
LAG = _gauge(
    "lag_seconds",
    "How old the views are; where nothing tells that, how long the node has been running.",
    *_BUILD,
    unit="seconds",
)
LAG_EVENTS = _gauge(
    "lag_events", "Events behind: messages of the log still to be folded; absent while that is not known.", *_BUILD
)
FOLDED = _counter("folded_events", "Messages that were offered to the build's program since it was opened.", *_BUILD)
GAS = _counter("gas", "Gas that programs used since the build was opened.", *_BUILD)
COMMIT = _histogram(
    "commit_seconds", "From a commit's begin until it is stored, turns of others included.", *_BUILD, unit="seconds"
)
VIEWS = _gauge("views", "Views that are stored.", *_BUILD)
PARKED = _gauge(
    "parked_events",
    "Events that are parked or were skipped, by what was done with them (`parked` or `skipped`), the class of the "
    "error, and its code. `P000` are those that wait behind a parked one; `unrecorded` are skipped ones of which only "
    "the number is kept.",
    *_BUILD,
    "disposition",
    "class",
    "code",
)
SUSPENDED = _gauge(
    "suspended", "Views and tenants for which nothing more is folded: too much is parked for them.", *_BUILD
)
CIRCUIT_OPEN = _gauge(
    "circuit_open",
    "1 while calls that failed are retried with growing pauses: `commit` (writing the store) or `read` (reading it).",
    *_BUILD,
    "circuit",
)
CIRCUIT_FAILURES = _counter("circuit_failures", "Calls that failed and were retried, by circuit.", *_BUILD, "circuit")
CACHE_HITS = _counter("view_cache_hits", "Views that a program asked for and that were in memory.", *_BUILD)
CACHE_MISSES = _counter(
    "view_cache_misses", "Views that a program asked for and that had to be read from the store.", *_BUILD
)
CACHE_BYTES = _gauge(
    "view_cache_bytes", "JSON of the views in memory; decoded, they take some times as much.", *_BUILD, unit="bytes"
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
    "store_bytes", "Size of the store's data file. For its growth, take `deriv()` of it.", *_BUILD, unit="bytes"
)
STORE_USED = _gauge("store_used_bytes", "Pages that hold the store's current state.", *_BUILD, unit="bytes")
STORE_FREE_PAGES = _gauge("store_free_pages", "Pages of the data file that a later commit can use again.", *_BUILD)
STORE_MAP = _gauge(
    "store_map_bytes", "Size of the store's memory map; it is doubled when it is full.", *_BUILD, unit="bytes"
)
STORE_FILL = _gauge("store_map_fill_ratio", "Part of the memory map that the data file takes.", *_BUILD, unit="ratio")
STORE_READERS = _gauge("store_readers", "Slots of LMDB's reader table that are taken, of 1,024.", *_BUILD)
STORE_OLDEST = _gauge(
    "store_reader_age_transactions",
    "Commits since the oldest snapshot that a reader holds; a growing one keeps pages from being used again.",
    *_BUILD,
)

STORES = (STORE_BYTES, STORE_USED, STORE_FREE_PAGES, STORE_MAP, STORE_FILL, STORE_READERS, STORE_OLDEST)

# --- queries ---------------------------------------------------------------------------------------------------------

QUERY_TIME = _histogram(
    "query_seconds",
    "Time of queries that were answered, waiting included, by shape: `view` (one view by its id), `index` (ranges of "
    "an index), `index_sorted` (and all matches sorted), `scan` (through a tenant's views), `scan_sorted`, `past` (as "
    "of an earlier event).",
    "shape",
    unit="seconds",
)
QUERY_FAILURES = _counter("query_failures", "Queries that were not answered, by the code of the problem.", "code")
QUERY_EXAMINED = _counter("query_examined_views", "Views that queries looked at, by shape.", "shape")
QUERIES_UNDER_WAY = _gauge("queries_in_progress", "Queries that are being answered or wait for their turn.")
FOLLOWERS = _gauge("change_followers", "Streams of changes that are open.")
HTTP_REQUESTS = _counter(
    "http_requests",
    "Requests that were answered, by the endpoint's path with names in braces, and the status; 499: whoever asked had "
    "gone.",
    "endpoint",
    "status",
)
HTTP_TIME = _histogram(
    "http_request_seconds", "From a request's headers to the end of its answer.", "endpoint", unit="seconds"
)

QUERIES = (QUERY_TIME, QUERY_FAILURES, QUERY_EXAMINED, QUERIES_UNDER_WAY, FOLLOWERS, HTTP_REQUESTS, HTTP_TIME)

# --- operations ------------------------------------------------------------------------------------------------------

OPERATIONS = _gauge(
    "operations_in_progress", "Long operations that run, by kind: backups, repairs, rebuilds and such.", "kind"
)
BACKUP_AT = _gauge(
    "backup_last_good_timestamp_seconds",
    "When the newest backup was begun, in Unix time; absent where there is none.",
    unit="seconds",
)
BACKUP_FAILURES = _counter("backup_failures", "Backups that failed since the node started.")

WORK = (OPERATIONS, BACKUP_AT, BACKUP_FAILURES)

# --- the sink, at a port of its own ----------------------------------------------------------------------------------

SINK_CONNECTED = _gauge("sink_connected", "1 while the database is connected.")
SINK_SCANNED = _gauge("sink_scanned_sequence", "Stream sequence up to which all changes are in the table.", "view_type")
SINK_LAG_EVENTS = _gauge(
    "sink_lag_events", "Sequences that the node has read beyond that; at most so many events are to come.", "view_type"
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
