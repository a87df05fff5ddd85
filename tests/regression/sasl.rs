//! Users, their verifiers, and what it may cost to check them.
