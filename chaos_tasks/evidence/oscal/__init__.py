"""OSCAL 1.2.1 documents (NIST, https://pages.nist.gov/OSCAL): assessment plan, results, POA&M, and their check.

Plain dictionaries: the models of others are slow and turn integers into floats.
"""
