"""Operations, latency, memory."""
