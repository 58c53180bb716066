"""What any mesh of gRPC services needs: server, channel, errors, deadlines, logging, metrics, tracing, TLS, access, audit."""
