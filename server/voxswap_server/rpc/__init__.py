"""gRPC servicers: convert, call, convert."""
