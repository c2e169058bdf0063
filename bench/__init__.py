"""Comparisons: every contestant in turn, same job, same load tool, same minute; ratios within one run."""
