"""Results of sections, kept as JSON in target/bench-results so that one section can be measured again."""

import json


# Changes with what the sections keep: results in another format count as not there.
FORMAT = 1


class Store:
    """Complete results in the directory itself; those of a shortened run in `scratch`, where they replace nothing."""

    def __init__(self, root, is_complete):
        self.directory = root / "target/bench-results"
        if not is_complete:
            self.directory /= "scratch"

    def save(self, name, result):
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file(name).write_text(json.dumps({"format": FORMAT, **result}, indent=1))

    def load(self, names):
        """What there is, in that order."""
        found = {name: json.loads(self._file(name).read_text()) for name in names if self._file(name).exists()}
        return {name: result for name, result in found.items() if result.get("format") == FORMAT}

    def write(self, name, text):
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_text(text)
        return self.directory / name

    def _file(self, name):
        return self.directory / f"{name}.json"
