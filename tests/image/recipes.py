"""The recipes of docs/images.md, as they stand there but for the names of the base images."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.image.base import CHECKOUT
from tests.image.engine import Engine

_RECIPES = re.findall(
    r"```dockerfile\n(.*?)```", (CHECKOUT / "docs/images.md").read_text(), re.DOTALL
)
_numbers = itertools.count(1)


def slug(word: str) -> str:
    """`word` as part of a name."""
    return re.sub(r"\W+", "-", word).strip("-").lower()


def build_recipe(engine: Engine, word: str, names: Mapping[str, str], checkout: Path) -> str:
    """Build the one recipe with `word` in it, `names` replaced by others; the image's name."""
    [recipe] = [recipe for recipe in _RECIPES if word in recipe]
    for theirs, ours in names.items():
        recipe = recipe.replace(theirs, ours)
    assert "example" not in recipe
    name = f"{slug(word)}-{next(_numbers)}"
    context = engine.directory / name
    context.mkdir()
    if "COPY git-credential-relay " in recipe:
        shutil.copytree(checkout, context / "git-credential-relay")
    (context / "Dockerfile").write_text(recipe)
    return engine.build(context, name)
