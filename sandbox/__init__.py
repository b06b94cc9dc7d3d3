"""Three CRM stand-ins on the real wire protocols, loopback only, over TLS with a local CA.

For `make run`, `make demo`, tests and training. Imports nothing of dealreg and is imported by
tests only; the CLI talks to its control door over HTTP. Start with `python -m sandbox`.
Each CRM has one HTTP-free record engine (`<crm>/engine.py`, clock injected), used by its HTTP
app (`<crm>/app.py`) and by simulations. A route exists only because a connector or a named
verifier sends it; everything else answers 501.
"""
