"""The small script that git runs as its credential helper."""

import os
import shlex

# Linux reads 127 bytes of a shebang line and cuts the rest off without a word.
_SHEBANG_LIMIT_BYTES = 127

_PROGRAM = "from git_credential_relay.main import launch\n\nlaunch()\n"


def launcher_script(interpreter: str) -> str:
    """Return the launcher's text for this absolute path of a Python interpreter.

    The interpreter runs with `-I`: git starts a helper with an untrusted work tree as its current
    directory, and `-m`, `-c` or PYTHONPATH would let a `json.py` that lies there run as our code.
    Its path is absolute because a helper may be started with an empty PATH.

    Raises:
        ValueError: The path is not absolute, or has a control character or a backslash in it.
    """
    if not os.path.isabs(interpreter):
        raise ValueError(f"the interpreter needs an absolute path: {interpreter!r}")
    # A backslash cannot be quoted in a way that both the shell and Python read alike.
    if not interpreter.isprintable() or "\\" in interpreter:
        raise ValueError(f"the interpreter's path has an unusable character: {interpreter!r}")
    shebang = f"#!{interpreter} -I"
    if " " not in interpreter and len(os.fsencode(shebang)) <= _SHEBANG_LIMIT_BYTES:
        return f"{shebang}\n{_PROGRAM}"
    return _shell_form(interpreter)


def _shell_form(interpreter: str) -> str:
    """Return a script that is shell for its second line and Python for all the rest.

    Python reads that line as a string made of adjacent literals, hence the odd quotes.
    """
    return f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} -I \"$0\" \"$@\"\n' '''\n{_PROGRAM}"
