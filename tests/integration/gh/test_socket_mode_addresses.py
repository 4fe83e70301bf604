"""A redirect to the Internet, in a network of its own where one address of it is this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALONE = ["unshare", "--map-root-user", "--net"]
SCRIPT = """
import subprocess, sys
from pathlib import Path
from tests.fakes.api_proxy import ScriptedWorkspace, minting, running_api_proxy
from tests.fakes.configs import make_config
from tests.fakes.upstream import STORAGE, Reply, running_upstream

HERE, AWAY = "140.82.121.3", "140.82.121.4"
for command in ("link set lo up", f"address add {HERE}/32 dev lo"):
    subprocess.run(["ip", *command.split()], check=True)
addresses = {
    STORAGE: [AWAY, HERE],
    "unnamed.example.test": [HERE],
    "mixed.example.test": [HERE, "::1"],
}
asked = []

async def find(name, port):
    asked.append(name)
    return addresses[name]

directory = Path(sys.argv[1])
with (
    running_upstream(lambda seen: Reply(200, b"the file"), directory, HERE) as storage,
    running_upstream(lambda seen: Reply(302, b"", {"Location": place})) as forge,
):
    config = make_config(
        GIT_CREDENTIAL_RELAY_HOSTS=f"github=http://{forge.host}",
        GIT_CREDENTIAL_RELAY_CA_FILE=storage.ca_file,
    )
    workspace = ScriptedWorkspace(config, minting("token-1"))
    with running_api_proxy(lambda connection: workspace, resolve=find) as proxy:
        port = storage.host.rpartition(":")[2]
        for name in addresses:
            place = f"https://{name}:{port}/a"
            proxy.get(forge.host, "/api/v3/user")
            answer = proxy.get(f"{name}:{port}", "/a", "Authorization: token x")
            why = answer.partition(b"cannot be asked: ")[2].partition(b" [")[0]
            print(name.partition(".")[0], answer[9:12].decode(), why.decode())
    print(asked == list(addresses))
    print([(seen.host == f"{STORAGE}:{port}", seen.token) for seen in storage.requests])
"""


def test_a_redirect_is_followed_by_its_address_and_checked_by_its_name(tmp_path):
    """The next address is tried; the certificate must be the name's; a name resolves once."""
    if subprocess.run([*ALONE, "ip", "link"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace: unshare --map-root-user --net, and ip")
    done = subprocess.run(
        [*ALONE, sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "objects 200 ",
        "unnamed 502 its certificate is not accepted",
        "mixed 403 ",
        "True",
        "[(True, None)]",
    ]
