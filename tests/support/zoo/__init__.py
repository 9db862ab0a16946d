"""Schemas that were never made for this service, and what an export of each must hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Specimen:
    """One table of somebody's database.

    Attributes:
        name: For people.
        make: The statements that make it and fill it.
        declared: What is declared of it, in TOML, under the name of a dataset.
        ask: What a driver is asked for the same rows, in the order of the key.
        rows: How many there are.
        written: The values of some columns, as they were put in.
    """

    name: str
    make: Sequence[str]
    declared: str
    ask: str
    rows: int
    written: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name
