"""Never lose a paid video, never pay twice: what holds when everything fails."""
