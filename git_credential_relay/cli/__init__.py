"""The click commands, one file each, loaded when they are called."""

# name → module below this package and one line of help; `--help` needs no import of theirs
COMMANDS = {
    "get": ("operations", "answer git with a credential (git calls this)"),
    "store": ("operations", "do nothing: what we gave out we have (git calls this)"),
    "erase": ("operations", "drop a credential that was refused (git calls this)"),
    "capability": ("operations", "say what this helper understands (git calls this)"),
    "token": ("token", "print a fresh token for tools that are not git"),
    "config": ("config", "show every setting and where its value comes from"),
    "login": ("login", "keep the workspace's secret in this machine's keyring"),
    "logout": ("login", "forget the workspace's secret"),
    "demo": ("demo", "watch clone and push with tokens that expire in between"),
}
