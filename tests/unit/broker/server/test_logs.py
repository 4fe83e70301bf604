"""Each line of the log is JSON, says where and what, and holds no token."""

from __future__ import annotations

import io
import json
import logging

import pytest

from git_credential_relay.broker.server.logs import configure_logging

TOKEN = "ghs_" + "S3cr3t" * 20


@pytest.fixture
def log():
    """What has been logged; the logging of the tests themselves comes back afterwards."""
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    configure_logging(logging.INFO, stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = before
    logging.captureWarnings(False)


def test_a_line_says_when_where_and_what(log):
    """Level, logger, message and the extras we know; others are left out."""
    logging.getLogger("relay.x").warning(
        "not renewed: %s", "FORGE_FAILED", extra={"source": "github", "request_id": "r1", "odd": 1}
    )

    [line] = log()
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "relay.x",
        "message": "not renewed: FORGE_FAILED",
        "source": "github",
        "request_id": "r1",
    }


def test_no_token_gets_into_the_log(log):
    """Not by message, argument, extra, exception, its cause or its place."""
    logger = logging.getLogger("relay.x")
    logger.info("token %s", TOKEN)
    logger.info("https://u:%s@host/", TOKEN, extra={"source": TOKEN})
    try:
        raise ValueError(f"bad {TOKEN}")
    except ValueError:
        logger.exception("failed")
    text = json.dumps(log())

    assert "S3cr3t" not in text
    assert text.count("********") >= 4
    assert "test_logs.py:" in text


def test_an_exception_is_one_line_with_its_places(log):
    """Type, text and frames, without lines of source."""
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("relay.x").exception("failed")

    [line] = log()
    assert line["exception"] == "KeyError: 'x'"
    assert line["trace"][-1].endswith("test_an_exception_is_one_line_with_its_places")


def test_control_characters_do_not_break_lines(log):
    """What a forge or a caller sends stays on its line."""
    logging.getLogger("relay.x").error("a\nb\x1b[2J\r%s", "{}\n")

    assert [line["message"] for line in log()] == ["a b [2J {}"]


def test_libraries_speak_through_the_same_formatter(log):
    """uvicorn's warnings are lines of JSON too; its chatter is left out."""
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")

    assert [line["logger"] for line in log()] == ["uvicorn.error"]
