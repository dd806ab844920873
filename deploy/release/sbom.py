"""Writes what is in the release binary as CycloneDX JSON to the file that is named. The same input makes the same bytes. deploy/release/sbom calls it."""

import datetime
import hashlib
import importlib.metadata
import os
import sys
import uuid

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import crates

LICENCES = LicenseFactory()


def sha256(digest):
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []


def licences(text):
    # "MIT/Apache-2.0" is how crates said it before there were expressions.
    return [LICENCES.make_from_string(text.replace("/", " OR "))] if text else []


def of_crate(crate):
    purl = PackageURL("cargo", name=crate.name, version=crate.version)
    home = [ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(crate.repository))] if crate.repository else []
    return Component(
        name=crate.name, version=crate.version, purl=purl, bom_ref=str(purl), licenses=licences(crate.licence), hashes=sha256(crate.checksum),
        external_references=home, type=ComponentType.APPLICATION if crate.name == crates.ROOT else ComponentType.LIBRARY,
        scope=ComponentScope.REQUIRED if crate.linked else ComponentScope.EXCLUDED)


def of_archive(archive):
    if archive.package is None:
        return Component(name=archive.name, bom_ref=archive.name, licenses=licences(archive.licence), hashes=sha256(archive.checksum))
    package, version, architecture, source = archive.package
    purl = PackageURL("deb", "debian", package, version, {"arch": architecture, "upstream": source})
    return Component(name=package, version=version, description=f"its {archive.name}, linked statically", purl=purl, bom_ref=str(purl),
                     licenses=licences(archive.licence), hashes=sha256(archive.checksum), scope=ComponentScope.REQUIRED)


def standard_library():
    purl = PackageURL("github", "rust-lang", "rust", crates.RUSTC["release"])
    return Component(name="std", version=crates.RUSTC["release"], description="the standard library of Rust, with what it is made of", purl=purl,
                     bom_ref=str(purl), licenses=licences("MIT OR Apache-2.0"), scope=ComponentScope.REQUIRED)


def main(out):
    found = crates.crates()
    components = {key: of_crate(crate) for key, crate in found.items()}
    root, = (component for (name, _), component in components.items() if name == crates.ROOT)
    beside = [standard_library(), *map(of_archive, crates.archives())]
    if binary := os.environ.get("BINARY"):
        with open(binary, "rb") as file:
            root.hashes.update(sha256(hashlib.file_digest(file, "sha256").hexdigest()))
    about = {"cdx:rustc:sbom:target:triple": crates.TARGET, "xdrelay:build:rustc": f"{crates.RUSTC['release']} {crates.RUSTC['commit-hash']}",
             "xdrelay:build:cc": crates.compiler()}
    library = "cyclonedx-python-lib"
    metadata = BomMetaData(
        component=root, timestamp=datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC),
        tools=ToolRepository(components=[Component(name="cargo", version=crates.RUSTC["release"], type=ComponentType.APPLICATION),
                                         Component(name=library, version=importlib.metadata.version(library))]),
        properties=[Property(name=name, value=value) for name, value in about.items()])
    bom = Bom(metadata=metadata, components=[*(component for component in components.values() if component is not root), *beside])
    for key, crate in found.items():
        bom.register_dependency(components[key], [components[need] for need in crate.needs] + (beside if components[key] is root else []))
    # Not a random one: named by everything else that is said.
    bom.serial_number = uuid.UUID(int=0)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    with open(out, "w", encoding="utf-8") as file:
        file.write(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
    linked = sum(crate.linked for crate in found.values()) - 1
    print(f"made {out}: {linked} crates in the binary and {len(found) - 1 - linked} that only took part in building it")


main(sys.argv[1])
