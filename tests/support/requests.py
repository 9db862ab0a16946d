"""A small request of each task type, which the source of the service under test can answer."""

from typing import Any

_MONTH = {"date_from": "2024-03-01T00:00:00Z", "date_to": "2024-03-31T23:59:59Z"}

# With a window: without one, the made-up rows of bookings would be read, which takes minutes.
SMALL: dict[str, dict[str, Any]] = {
    "bookings_export": _MONTH,
    "payments_export": _MONTH,
    "users_export": _MONTH,
    "services_export": {},
    "data_cleanup": {"options": {"dataset": "payments"}, **_MONTH},
    "data_analysis": _MONTH,
    "report_generation": _MONTH,
}
