#!/usr/bin/python3
"""Checks Kubernetes documents on standard input, YAML or JSON, against the API's types as Debian's python3-kubernetes has them.

Prints a line for each thing that is wrong: a field that the API does not know, a value of another type, a required field that
is not there. Exit status 0 if there is none, 1 if there is, 77 if the package is missing.
"""

import re
import sys

try:
    import yaml
    from kubernetes import client
except ImportError as error:
    print(error)
    sys.exit(77)

SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "datetime": str}


def problems(value, kind, place):
    """What is wrong with a value that should be of a type as the client names them, such as dict(str, str) or V1Pod."""
    if value is None:
        return
    if kind in SIMPLE:
        if not isinstance(value, SIMPLE[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{place}: {value!r} is no {kind}"
        return
    listed = re.fullmatch(r"list\[(.*)\]", kind)
    mapped = re.fullmatch(r"dict\(str, (.*)\)", kind)
    if listed or mapped:
        if not isinstance(value, list if listed else dict):
            yield f"{place}: {value!r} is no {kind}"
            return
        for key, item in enumerate(value) if listed else value.items():
            yield from problems(item, (listed or mapped)[1], f"{place}[{key}]")
        return
    yield from model_problems(value, getattr(client, kind), place)


def model_problems(value, model, place):
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no {model.__name__}"
        return
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, item in value.items():
        if name not in attributes:
            yield f"{place}: {model.__name__} has no {name}"
        else:
            yield from problems(item, model.openapi_types[attributes[name]], f"{place}.{name}")
    try:  # which is where the client says what is required
        model(**{attributes[name]: item for name, item in value.items() if name in attributes})
    except ValueError as error:
        yield f"{place}: {error}"


def document_problems(document):
    if document["kind"] == "List":
        for item in document["items"]:
            yield from document_problems(item)
        return
    yield from model_problems(document, getattr(client, "V1" + document["kind"]), document["kind"])


found = [problem for document in yaml.safe_load_all(sys.stdin) for problem in document_problems(document)]
print("\n".join(found), end="")
sys.exit(1 if found else 0)
