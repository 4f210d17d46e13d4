"""The embedded parts of one machine: object store, TLS, ports, `up` and `down`."""
