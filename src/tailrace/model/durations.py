"""How long something took, as a person reads it."""


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``0.41 s``, ``12 s``, ``3:05``, ``2:03:05``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rough_duration(seconds: float) -> str:
    """An estimate, in whole seconds and never nothing: ``9 s``, ``3:05``."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else duration(whole)
