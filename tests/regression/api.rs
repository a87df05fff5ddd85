//! What programs found that they could not do or rely on.
