"""Figures: functions that take data and give a figure or axes. Saving is elsewhere."""
