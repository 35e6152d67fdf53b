"""The columns of the prepared table: the one agreement that every stage keeps."""

from __future__ import annotations

KEY = "flight_id"
LABEL = "late"
LATE_MINUTES = 15

CATEGORICAL = ("carrier", "origin", "dest", "hour", "weekday")
NUMERIC = (
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
    "recent_delay",
    "departures",
)
FEATURES = CATEGORICAL + NUMERIC
PREPARED = (KEY, "month", *FEATURES, LABEL)
SLICES = ("carrier", "origin")
