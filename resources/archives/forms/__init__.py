"""How each kind of source database spells values such that nothing of them is lost."""

from collections.abc import Mapping

from resources.archives.forms.base import Forms
from resources.archives.forms.mysql import MySQLForms
from resources.archives.forms.postgresql import PostgreSQLForms
from resources.archives.forms.sqlite import SQLiteForms
from resources.source.dialects.base import Dialect

FORMS: Mapping[str, Forms] = {
    forms.name: forms for forms in (PostgreSQLForms(), SQLiteForms(), MySQLForms())
}


def forms_of(dialect: Dialect) -> Forms:
    """The forms of a kind of database."""
    return FORMS[dialect.name]
