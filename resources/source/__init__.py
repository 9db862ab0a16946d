"""The source database: what is declared, how it is asked, how its rows are read."""
