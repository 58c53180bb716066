"""What any mesh of gRPC services needs: server, channel, errors, deadlines, logs, traces, TLS, access, audit."""
