"""The standard workloads W1 and W2 of docs/protocol.md, and the raw baseline beside them.

Server and load run in processes of their own, each on one core where the machine lets them.
"""
