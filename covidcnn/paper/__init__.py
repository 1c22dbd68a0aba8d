"""This paper: what it reports and claims, and the tables, figures and verdicts of the studies about it."""
