"""Builds, writes and reads JSON documents for a second or so."""
import json

documents = [{"id": i, "name": f"order {i}", "lines": [{"sku": str(i * j), "amount": j} for j in range(20)]} for i in range(2000)]
total = 0
for _ in range(12):
    total += len(json.loads(json.dumps(documents)))
print(total)
