"""The offline HTML pages: what they show as data, and the files that show it."""
