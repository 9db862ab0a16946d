"""The declarations in ``docs/datasets.md``."""

import re

from resources.settings import PROJECT_ROOT

GUIDE = PROJECT_ROOT / "docs" / "datasets.md"
_BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def declarations() -> list[str]:
    """Every TOML of the guide, in its order."""
    return _BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def worked_example() -> str:
    """The one that declares the film rental shop."""
    (example,) = [each for each in declarations() if 'schema = "film_rental"' in each]
    return example
