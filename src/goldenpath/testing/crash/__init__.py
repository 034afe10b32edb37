"""`goldenpath crash-test`: an agent is run again for each entry of its log, and killed there.

`process` is what dies, `trials` starts it and its successor, `judging` says what the agent's author
should know. Sources: the semantics of replay in `docs/replayable-agents.md`.
"""
