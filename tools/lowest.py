"""Print the lowest version that pyproject.toml allows of every requirement, as pip constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
print(*sorted({re.sub(r"\[.*?\]", "", text).replace(">=", "==") for text in wanted}), sep="\n")
