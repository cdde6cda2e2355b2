"""Schedule -> lifetimes -> timeline: when each buffer is alive and what that adds up to."""
