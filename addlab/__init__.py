"""What addrnn.py may stand on (engine, records, workers, command), and what stands on it (study, certify, article)."""
