"""Writes the licences of everything that is linked into the release binary, as their authors wrote them, to the file that is named. deploy/release/licences
calls it."""

import json
import pathlib
import re
import sys

import crates

NAMES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# Where a toolchain has its own.
OF_RUST = ("COPYRIGHT", "COPYRIGHT-library.html", "LICENSE-MIT", "LICENSE-APACHE")
HEAD = """The program xdrelay is under the Apache License 2.0. Linked into it is the work of others; below are their licences, each text once,
with the names of those whom it came with. deploy/release/sbom has the same list for programs.
"""


def sources():
    """Where the source of each package is."""
    about = json.loads(crates.said("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", crates.TARGET))
    return {(package["name"], package["version"]): pathlib.Path(package["manifest_path"]).parent for package in about["packages"]}


def texts(place):
    """The licences that come with a package: at its top, and of what it has taken in from others."""
    found = sorted(path for path in place.rglob("*") if path.is_file() and NAMES.match(path.name))
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in found if path.suffix not in {".rs", ".c", ".h", ".yml", ".tmpl"}]


def main(out):
    where, by_text, without = sources(), {}, []

    def take(who, found):
        for text in found:
            # The same words in lines of another length are the same text.
            whose = by_text.setdefault(" ".join(text.split()), (text, []))[1]
            whose.extend([who] if who not in whose else [])
        if not found:
            without.append(who)

    for key, crate in sorted(crates.crates().items()):
        if crate.linked and crate.name != crates.ROOT:
            take(f"{crate.name} {crate.version} ({crate.licence})", texts(where[key]))
    rust = pathlib.Path(crates.said("rustc", "--print", "sysroot").strip()) / "share/doc/rust"
    release = crates.RUSTC["release"]
    take(f"Rust's standard library {release} (MIT OR Apache-2.0)", [(rust / name).read_text(encoding="utf-8").strip() for name in OF_RUST if (rust / name).is_file()])
    for archive in crates.archives():
        package = archive.package or (archive.name, "")
        terms = pathlib.Path("/usr/share/doc", package[0], "copyright")
        take(f"{package[0]} {package[1]} ({archive.licence})", [terms.read_text(encoding="utf-8").strip()] if terms.is_file() else [])

    rule = "=" * 100
    with open(out, "w", encoding="utf-8") as file:
        file.write(HEAD)
        if without:
            file.write("\nWithout a text of their own, under the licence that they name:\n" + "".join(f"  {who}\n" for who in without))
        for text, whose in by_text.values():
            file.write("\n".join(["", rule, *whose, rule, "", text, ""]))
    print(f"made {out}: {len(by_text)} texts; {len(without)} come without one")


main(sys.argv[1])
