"""What any mesh of gRPC services needs: server, channel, deadlines, logs, metrics, traces, TLS, access, audit."""
