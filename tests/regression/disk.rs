//! Maildirs, Unix sockets and files of keys.
