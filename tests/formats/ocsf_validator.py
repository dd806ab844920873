"""Holds OCSF records, one a line on standard input, against the schemas that the OCSF project published, and writes one line for
each: the JSON array of what is wrong with it.

Three opinions, none of them ours:
- ocsf-json-schema carries the published schema of every release from 1.0.0 to 1.8.0 and makes a JSON Schema of a class:
  types, required attributes, values of enumerations, lengths, patterns, the constraint `at_least_one`, and no attribute that the
  release or the profiles in use do not know. jsonschema checks it.
- The same published schema says which attributes are deprecated, and which caption belongs to a number beside it; JSON Schema
  cannot say that, so it is looked up here.
- pydantic-ocsf, with its own copy of the releases to 1.7.0, checks types, enumerations, captions and type_uid once more. Its copy is
  the source of the schema and not what is compiled from it, so two things are left to the other two: it has no status_id 0, which
  the compiled class gets from the dictionary, and it makes up captions of its own for types of observables such as 31, which
  is "User Object: uid".
"""

import importlib
import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema, get_packaged_versions
from pydantic import ValidationError

CLASS = "incident_finding"
OF_THE_MODELS = ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0"]
SCHEMAS = {}
VALIDATORS = {}


def schema(version):
    if version not in SCHEMAS:
        SCHEMAS[version] = get_ocsf_schema(version)
    return SCHEMAS[version]


def validator(version, profiles):
    key = (version, tuple(profiles))
    if key not in VALIDATORS:
        made = OcsfJsonSchemaEmbedded(schema(version)).get_class_schema(CLASS, list(profiles))
        jsonschema.Draft202012Validator.check_schema(made)
        VALIDATORS[key] = jsonschema.Draft202012Validator(made)
    return VALIDATORS[key]


def shortened(text):
    return text if len(text) <= 300 else f"{text[:100]} ... {text[-200:]}"


def walk(version, item, value, path):
    """Deprecated attributes, and captions that do not belong to their numbers."""
    attributes = item["attributes"]
    for name, inner in value.items():
        attribute = attributes.get(name)
        if attribute is None:
            continue
        here = f"{path}{name}"
        if "@deprecated" in attribute:
            yield f"{here}: deprecated in {version}"
        sibling, enum = attribute.get("sibling"), attribute.get("enum")
        if sibling in value and enum and str(inner) in enum and inner != 99:
            caption = enum[str(inner)]["caption"]
            if value[sibling] != caption:
                yield f"{path}{sibling}: {value[sibling]!r} beside {inner}, which is {caption!r}"
        if attribute.get("type") == "object_t":
            of = schema(version)["objects"][attribute["object_type"]]
            for at, element in enumerate(inner if isinstance(inner, list) else [inner]):
                if isinstance(element, dict):
                    yield from walk(version, of, element, f"{here}[{at}]." if isinstance(inner, list) else f"{here}.")


def of_the_models(version, record):
    if version not in OF_THE_MODELS:
        return
    record = json.loads(json.dumps(record))
    if record.get("status_id") == 0 and record.get("status") == "Unknown":
        record["status_id"], record["status"] = 1, "New"
    for observable in record.get("observables", []):
        if " Object: " in observable.get("type", ""):
            del observable["type"]
    model = importlib.import_module(f"ocsf.v{version.replace('.', '_')}.events").IncidentFinding
    try:
        model.model_validate(record)
    except ValidationError as error:
        for one in error.errors():
            yield f"{'.'.join(map(str, one['loc']))}: {one['msg']} (pydantic-ocsf)"


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a member twice among {names}")
    return dict(pairs)


def complaints(line):
    try:
        record = json.loads(line, object_pairs_hook=unique)
    except ValueError as error:
        return [f"no record: {error}"]
    metadata = record.get("metadata", {})
    version = metadata.get("version")
    if version not in get_packaged_versions():
        return [f"metadata.version: no published release is {version!r}"]
    found = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.validator}: {shortened(error.message)}"
        for error in validator(version, metadata.get("profiles", [])).iter_errors(record)
    ]
    found += walk(version, schema(version)["classes"][CLASS], record, "")
    found += of_the_models(version, record)
    if record.get("type_uid") != 2005 * 100 + record.get("activity_id", 0):
        found.append("type_uid: does not follow from class_uid and activity_id")
    return found


# As the most careless reader would split it: at whatever Unicode calls the end of a line.
for line in sys.stdin.buffer.read().decode("utf-8").splitlines():
    print(json.dumps(complaints(line)))
