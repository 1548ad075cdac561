"""`make bench`: the same work on Fieldgate and on its peers, in one run, as a table of ratios."""
