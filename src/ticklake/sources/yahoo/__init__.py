"""Equities from Yahoo through the package yfinance."""
