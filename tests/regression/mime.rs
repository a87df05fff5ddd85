//! What messages say, and how much it may cost to read them.
