"""The control plane: runs, workflows, accounts, logs, storage. It never imports the engine."""
