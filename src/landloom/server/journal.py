"""The server's own log: one JSON object a line, each with the id of its request."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog

from landloom.server.kit.digests import without_secrets

_SECRET_NAMES: Final = ("key", "secret", "token", "password", "authorization", "env")
_QUIET: Final = (
    "uvicorn.access",
    "botocore",
    "boto3",
    "urllib3",
    "alembic",
    "aiosqlite",
    # It tells every URL, and one with a signature is as good as a key.
    "httpx",
)


def configure(level: int = logging.INFO) -> None:
    """Send the logs of this process, our own and libraries', to stderr as JSON lines."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_secrets(_logger: Any, _method: str, event: Any) -> Any:
    """Blank every value whose name says that it is secret, and every key in other texts."""
    for name, value in event.items():
        if any(part in name.lower().split("_") for part in _SECRET_NAMES):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = without_secrets(value)
    return event
