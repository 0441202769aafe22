"""The documentation as a site: what is made from the code, the records and the texts of the project."""
