//! What one client, or many, may make the server hold or do.
