"""Asking a language model on a server that speaks OpenAI's Chat Completions."""
