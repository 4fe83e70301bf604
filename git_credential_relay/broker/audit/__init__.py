"""One event per request, written before the answer leaves."""
