"""The engine: the verbs, the registry, the queue. Knows sandbox and store by Protocol."""
