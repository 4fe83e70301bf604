"""A keyring for child processes: PYTHON_KEYRING_BACKEND names it, FAKE_KEYRING its file."""

import os
from pathlib import Path

from tests.fakes.memory_keyring import FileKeyring


class Keyring(FileKeyring):
    """A FileKeyring in the file that the environment names."""

    def __init__(self) -> None:
        super().__init__(Path(os.environ["FAKE_KEYRING"]))
