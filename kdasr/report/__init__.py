"""Tables and pictures of results, read from the folders of finished recipe runs."""
