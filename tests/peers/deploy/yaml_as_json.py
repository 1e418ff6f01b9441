"""Prints the documents of YAML files as one JSON list, in the order of the files; a key given twice is an error."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """Keeps what looks like a date as it is written."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{twice} twice at {node.start_mark}")
        return super().construct_mapping(node, deep)


Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))

documents = []
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        documents += yaml.load_all(file, Loader)
json.dump(documents, sys.stdout)
