//! Whom relays serve, whom proxies speak for, and what comes out of a queue.
