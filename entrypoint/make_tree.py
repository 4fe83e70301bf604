"""Make a directory that holds this program with a Python of its own.

usage: python make_tree.py DIRECTORY WHEELS

DIRECTORY must be the path at which the tree will be used. The Python that runs this is copied with
its standard library and the shared libraries that it needs beyond glibc, so the tree runs wherever
the same or a newer glibc is, with or without a Python there. No wrapper and no LD_LIBRARY_PATH:
both would reach the commands that we start. Needs pip, `ldd` and `patchelf`.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
LAUNCHERS = ("git-credential-relay", "gh-credential-relay")
ENTRYPOINT = "git-credential-relay-entrypoint"
# Parts of the standard library that the program never loads, some of which need big libraries.
LEFT_OUT = (
    *("__pycache__", "site-packages", "dist-packages", "config-*", "sitecustomize.py"),
    *("test", "idlelib", "lib2to3", "tkinter", "turtle*", "pydoc_data", "ensurepip", "venv"),
    *("sqlite3", "curses", "dbm", "crypt.py", "nis*", "EXTERNALLY-MANAGED"),
    *("_tkinter.*", "_sqlite3.*", "_curses*.so", "_dbm.*", "_gdbm.*", "readline.*", "_crypt.*"),
    *("_test*.so", "xx*.so", "_xx*.so", "_ctypes_test*"),
)
# Of the C library itself, which has to be that of the image.
GLIBC = re.compile(r"(ld-linux|linux-vdso|lib(c|m|dl|rt|util|pthread|resolv|anl|mvec))\b")


def main() -> None:
    """Make the tree."""
    tree, wheels = (Path(argument) for argument in sys.argv[1:])
    python = copy_python(tree / "python")
    make_environment(tree, python)
    site_packages = tree / "lib" / VERSION / "site-packages"
    install(wheels, site_packages)
    write_launchers(tree)
    # A layer's files may get other dates, and nobody can write byte code beside them later.
    run(tree / "bin/python", "-I", "-m", "compileall", "-q", "-j0",
        "--invalidation-mode", "unchecked-hash", tree)  # fmt: skip


def copy_python(prefix: Path) -> Path:
    """Copy the running interpreter and all that it loads below `prefix`; its new path."""
    python = prefix / "bin" / VERSION
    library = prefix / "lib"
    python.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), python)
    shutil.copytree(
        sysconfig.get_path("stdlib"), library / VERSION, ignore=shutil.ignore_patterns(*LEFT_OUT)
    )
    modules = [*(library / VERSION / "lib-dynload").glob("*.so")]
    for name, source in needed_libraries([python, *modules]).items():
        shutil.copy2(source.resolve(), library / name)
        set_search_path(library / name, "$ORIGIN")
    set_search_path(python, "$ORIGIN/../lib")
    for module in modules:
        set_search_path(module, "$ORIGIN/../..")
    return python


def needed_libraries(programs: Iterable[Path]) -> dict[str, Path]:
    """The shared libraries, beyond glibc, that `programs` load, theirs included."""
    found = {}
    for program in programs:
        for line in run("ldd", program).splitlines():
            name, arrow, path = line.strip().partition(" => ")
            if not arrow or GLIBC.match(name):
                continue
            if not path.startswith("/"):
                sys.exit(f"make_tree: {program} needs {name}, which is not here")
            found[name] = Path(path.partition(" (")[0])
    return found


def set_search_path(program: Path, path: str) -> None:
    """Let `program` find its libraries at `path`, whatever LD_LIBRARY_PATH says."""
    run("patchelf", "--force-rpath", "--set-rpath", path, program)


def make_environment(tree: Path, python: Path) -> None:
    """Make `tree` a virtual environment of the copied interpreter, as `venv` does."""
    (tree / "bin").mkdir()
    (tree / "bin/python").symlink_to(Path("..") / python.relative_to(tree))
    (tree / "pyvenv.cfg").write_text(
        f"home = {python.parent}\ninclude-system-site-packages = false\n"
    )


def install(wheels: Path, site_packages: Path) -> None:
    """Install the program, and of the wheels there those that it needs and nothing else."""
    site_packages.mkdir(parents=True)
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
        "--root-user-action=ignore", "--no-index", "--no-compile", "--find-links", wheels,
        "--target", site_packages, LAUNCHERS[0])  # fmt: skip
    # Scripts of the libraries, and ours as pip writes it: without -I.
    shutil.rmtree(site_packages / "bin")


def write_launchers(tree: Path) -> None:
    """Write the tree's own commands."""
    program = "import sys; from git_credential_relay.wiring.launcher import launcher_script as text"
    for name in LAUNCHERS:
        script = f"{program}; print(text(*sys.argv[1:]), end='')"
        launcher = tree / "bin" / name
        python = tree / "bin/python"
        launcher.write_text(run(python, "-I", "-c", script, python, name))
        launcher.chmod(0o755)
    shutil.copy(Path(__file__).with_name(ENTRYPOINT), tree / "bin")


def run(*command: str | Path) -> str:
    """The output of a command that has to succeed."""
    return subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
