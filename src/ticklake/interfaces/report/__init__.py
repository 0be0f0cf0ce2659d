"""Reports: pages that stand alone, to be sent to somebody."""
