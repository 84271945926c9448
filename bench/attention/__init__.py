"""Seeing why PASTA works: how much attention each head gives to the special tokens, before an adapter and after."""
