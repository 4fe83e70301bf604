"""The small scripts that git runs as its credential helper, and agents as their gh."""

import os
import shlex

from git_credential_relay.errors import ConfigError

# Linux reads 127 bytes of a shebang line and cuts the rest off without a word.
_SHEBANG_LIMIT_BYTES = 127

# Each launcher's name and the entry point in main.py that it calls.
ENTRY_POINTS = {
    "git-credential-relay": "launch",
    "gh-credential-relay": "launch_gh_credential_relay",
    "gh": "launch_gh",
}


def launcher_script(interpreter: str, name: str = "git-credential-relay") -> str:
    """Return the text of the launcher called `name` for an absolute path of an interpreter.

    The interpreter runs with `-I`: git starts a helper with an untrusted work tree as its current
    directory, and `-m`, `-c` or PYTHONPATH would let a `json.py` that lies there run as our code.
    Its path is absolute because a helper may be started with an empty PATH.

    Raises:
        ConfigError: The path is not absolute, or has a control character or a backslash in it.
    """
    if not os.path.isabs(interpreter):
        raise ConfigError(f"the interpreter needs an absolute path: {interpreter!r}", code="usage")
    # A backslash cannot be quoted in a way that both the shell and Python read alike.
    if not interpreter.isprintable() or "\\" in interpreter:
        raise ConfigError(
            f"the interpreter's path has an unusable character: {interpreter!r}", code="usage"
        )
    entry_point = ENTRY_POINTS[name]
    program = f"from git_credential_relay.main import {entry_point}\n\n{entry_point}()\n"
    shebang = f"#!{interpreter} -I"
    if " " not in interpreter and len(os.fsencode(shebang)) <= _SHEBANG_LIMIT_BYTES:
        return f"{shebang}\n{program}"
    return _shell_form(interpreter, program)


def _shell_form(interpreter: str, program: str) -> str:
    """Return a script that is shell for its second line and Python for all the rest.

    Python reads that line as a string made of adjacent literals, hence the odd quotes.
    """
    return f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} -I \"$0\" \"$@\"\n' '''\n{program}"
