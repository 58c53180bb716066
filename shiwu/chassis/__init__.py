"""What any mesh of gRPC services needs: server, channel, errors, deadlines, logs, metrics, traces, TLS, access, audit."""
