"""Run the demo and record the terminal as docs/assets/demo.svg; needs an environment with ticklake."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

command = [sys.executable, "-m", "ticklake", "demo", *sys.argv[1:]]
with tempfile.TemporaryDirectory() as folder:
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
console = Console(record=True, width=118, file=Path("/dev/null").open("w"))
console.print("$ ticklake demo", highlight=False)
console.print(shown, highlight=False, markup=False)
svg = console.export_svg(title="ticklake demo")
Path("docs/assets/demo.svg").write_text(re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL))
