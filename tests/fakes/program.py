"""The real executable, run as git and scripts run it."""

import os
import subprocess
import sys
from pathlib import Path

EXECUTABLE = Path(sys.executable).with_name("git-credential-relay")


def run_program(*arguments: str, stdin: str = "", **environ: str):
    """Run the executable in this test's environment plus `environ`; stdin is a pipe."""
    return subprocess.run(
        [EXECUTABLE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | environ,
        check=False,
        timeout=30,
    )
