"""The embedded stack: real servers from pip alone, Airflow's launcher, and the reference target."""
