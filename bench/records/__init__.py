"""The record of a cell, and the results folder that holds records."""
