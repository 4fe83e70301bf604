"""The click commands, one file each, loaded when they are called."""

# name → module below this package and one line of help; `--help` needs no import of theirs
COMMANDS = {
    "get": ("operations", "answer git with a credential (git calls this)"),
    "store": ("operations", "do nothing: what we gave out we have (git calls this)"),
    "erase": ("operations", "drop a credential that was refused (git calls this)"),
    "capability": ("operations", "say what this helper understands (git calls this)"),
    "token": ("token", "print a fresh token for tools that are not git"),
    "exec": ("exec", "run a command with the token variables it reads"),
    "config": ("config", "show every setting and where its value comes from"),
    "login": ("login", "keep the workspace's secret in this machine's keyring"),
    "logout": ("login", "forget the workspace's secret"),
    "install": ("install", "wire git and gh on this machine, or in an image being built"),
    "uninstall": ("install", "take the wiring away again"),
    "doctor": ("doctor", "say what works, what does not, and how to mend it"),
    "sidecar": ("sidecar", "hold the secret and the tokens, and answer git and gh over sockets"),
    "why": ("ask", "say what went wrong last, by the sidecar's record"),
    "status": ("ask", "show the sidecar's workspaces and tokens"),
    "completion": ("completion", "print the completion script of a shell"),
    "broker": ("broker", "run the broker: the cloud API that decides, mints and records"),
    "demo": ("demo", "watch clone and push with tokens that expire in between"),
}
