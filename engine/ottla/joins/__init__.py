"""Joins at work: a module for each kind, by what meets in it."""
