"""What ``workers init`` guesses of a database: which table each dataset is, and how it is read."""
