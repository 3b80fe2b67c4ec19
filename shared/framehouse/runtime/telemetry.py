"""Logs and metrics: JSON lines with a request id on stderr, Prometheus numbers on `/metrics`."""

import logging
import sys
from contextvars import ContextVar

import structlog
from prometheus_client import Counter, Histogram

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being answered; sent on with every call that it causes."""

RPC_SECONDS = Histogram(
    "framehouse_rpc_seconds",
    "Time to answer a call, by method and canonical code.",
    ["service", "method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
STEP_SECONDS = Histogram(
    "framehouse_step_seconds",
    "Time of a step of a job, by method and outcome.",
    ["method", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
JOBS_STARTED = Counter("framehouse_jobs_started_total", "Jobs started, by workflow.", ["workflow"])


def configure_logging(service: str, level: str) -> None:
    """Sends all logs of the process, those of libraries too, to stderr as one JSON object a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # What these have to say, the handlers and steps of our own say better.
    for noisy in ("grpc", "urllib3", "uvicorn.access", "temporalio.activity", "temporalio.workflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def logger() -> structlog.stdlib.BoundLogger:
    """The process's logger."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger("framehouse")
    return bound
