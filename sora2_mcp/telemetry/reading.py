"""A number that takes a question to find out, for those who ask for it from another thread and cannot wait."""


class Reading:
    """Holds a number of one service as it was read last; it is read again only after somebody has asked."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.value: int | None = None
        self.is_wanted = False

    def asked(self) -> int | None:
        """The number, None where it was not read yet; and a wish that it be read again. From any thread."""
        self.is_wanted = True
        return self.value
