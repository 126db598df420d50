"""Training of the built-in voices: corpus, codes, content encoder, decoder, T2S, ECAPA, export.

Never imported by the server, and imports nothing of it but the English front-end and, in tests, the networks.
"""
