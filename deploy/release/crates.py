"""What cargo and the compiler say is in the release binary. Reads; writes nothing. For sbom.py and licences.py."""

import dataclasses
import hashlib
import os
import re
import subprocess
import tomllib

ROOT = "xdrelay"
# Linked in statically, beside what is Rust.
ARCHIVES = {"libc.a": "LGPL-2.1-or-later", "libgcc_eh.a": "GPL-3.0-or-later WITH GCC-exception-3.1"}


def said(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


RUSTC = dict(line.split(": ", 1) for line in said("rustc", "-vV").splitlines() if ": " in line)
TARGET = RUSTC["host"]


@dataclasses.dataclass
class Crate:
    name: str
    version: str
    licence: str
    repository: str
    # SHA-256 of the .crate file; none of our own package.
    checksum: str | None
    # Its code is in the binary; otherwise it only took part in building it.
    linked: bool
    needs: set

    @property
    def key(self):
        return self.name, self.version


def tree(edges):
    """Each package of cargo's tree, with its licence, repository and what it needs. Features are resolved as for the build: not so
    in `cargo metadata`, where what only tests ask for counts too."""
    lines = said("cargo", "tree", "--locked", "--package", ROOT, "--target", TARGET, "--edges", edges, "--prefix", "depth",
                 "--format", "|{p}|{l}|{r}").splitlines()
    found, above = {}, []
    for line in lines:
        depth, package, licence, repository = line.removesuffix(" (*)").split("|")
        name, version = package.split()[:2]
        key = name, version.removeprefix("v")
        crate = found.setdefault(key, Crate(*key, licence, repository, None, False, set()))
        del above[int(depth):]
        if above:
            above[-1].needs.add(key)
        above.append(crate)
    return found


def crates():
    """The root and everything below it, each by name and version."""
    found = tree("normal,build")
    for key in tree("normal,no-proc-macro"):
        found[key].linked = True
    with open("Cargo.lock", "rb") as file:
        locked = {(package["name"], package["version"]): package.get("checksum") for package in tomllib.load(file)["package"]}
    for key, crate in found.items():
        crate.checksum = locked[key]
        if crate.checksum is None and crate.name != ROOT:
            raise SystemExit(f"{crate.name} {crate.version} has no checksum in Cargo.lock: it is of no registry")
    return found


@dataclasses.dataclass
class Archive:
    name: str
    licence: str
    checksum: str
    # As Debian knows it: package, version, architecture, source package; none elsewhere.
    package: tuple | None


def archives():
    """The C libraries that the linker takes."""
    for name, licence in ARCHIVES.items():
        path = os.path.realpath(said("cc", f"-print-file-name={name}").strip())
        with open(path, "rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            owner = said("dpkg-query", "--search", path).split(": ")[0]
            package = tuple(said("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture} ${source:Package}", owner).split())
        except (FileNotFoundError, subprocess.CalledProcessError):
            package = None
        yield Archive(name, licence, checksum, package)


def compiler():
    """The C compiler, in a line."""
    return re.sub(r"\s+", " ", said("cc", "--version").splitlines()[0])
