"""The texts of reports, a module for each language; a test holds their keys equal."""

from collections.abc import Mapping

from pipelines.report.words import en, ru
from resources.task_types.report_generation import ReportLocale

WORDS: Mapping[ReportLocale, Mapping[str, str]] = {
    ReportLocale.EN: en.WORDS,
    ReportLocale.RU: ru.WORDS,
}
"""Texts by key; names in braces stand for values."""

PLURALS: Mapping[ReportLocale, Mapping[str, Mapping[str, str]]] = {
    ReportLocale.EN: en.PLURALS,
    ReportLocale.RU: ru.PLURALS,
}
"""Texts that count something, by key and by the plural form of the language (CLDR)."""
