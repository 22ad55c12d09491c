"""What proves the packages of a release: each is installed and used as its user would."""
